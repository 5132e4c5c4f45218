"""Runners whose backbone runs in a library."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..runners.eager import runner_of
from ..runners.kind import RunnerRequest
from ..runners.runner import Runner
from .exported_backbone import example_glimpses
from .library import CannotRun
from .library_backbone import LibraryBackbone, Program

# Of the trial: neither the number nor the size of image that the backbone was exported with.
_ROWS, _IMAGE = 3, (175, 161)
# How far features may be off, in units of the largest. Quantised ones are judged by the labels of
# real images.
_TOLERANCES = {"fp32": 1e-3, "bf16": 0.1}


def library_runner(request: RunnerRequest, open_program: Callable[[int], Program]) -> Runner:
    """The request's runner with the backbone of ``open_program``.

    Raises:
        CannotRun: the library fails in a trial, or gives other features than the network.
    """
    network = request.network()
    with torch.inference_mode():
        noise = example_glimpses(network, _ROWS, _IMAGE)
        expected = network.backbone(noise)
        if not isinstance(expected, Tensor):
            raise CannotRun(f"a backbone must return a Tensor, got {type(expected).__name__}")
        network.backbone = LibraryBackbone(network.backbone, open_program)
        try:
            found = network.backbone(noise)
        except CannotRun:
            raise
        except Exception as error:  # libraries share no narrower base class
            raise CannotRun.because("it failed in a trial", error) from error
    if found.shape != expected.shape:
        shapes = list(found.shape), list(expected.shape)
        raise CannotRun("it gave features {} instead of {} in a trial".format(*shapes))
    off = (found - expected).nan_to_num().abs().max() / expected.nan_to_num().abs().max()
    if off > _TOLERANCES.get(request.precision, torch.inf):
        raise CannotRun(f"its features were off by {off:.2g} of the largest in a trial")
    return runner_of(network, request.folded, torch.contiguous_format)
