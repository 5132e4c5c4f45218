"""Runners that use the network's own modules, in either memory layout."""

from __future__ import annotations

import torch

from ...models import GlimpseNetwork
from ...ops.fusion.fusion_weights import FoldedFusion
from ..convolutions.lower_precision import DTYPES, lowered
from .kind import RunnerKind, RunnerRequest
from .plain import PlainRunner
from .runner import Runner
from .stepwise import StepwiseRunner


def runner_of(
    network: GlimpseNetwork,
    folded: FoldedFusion | None = None,
    memory_format: torch.memory_format | None = None,
    glimpse_dtype: torch.dtype | None = None,
) -> Runner:
    """The runner of a prepared network: with its fused step if it has one, else stepwise."""
    if network.fused_step is None:
        return StepwiseRunner(network, memory_format, glimpse_dtype)
    return PlainRunner(network, folded, memory_format, glimpse_dtype)


def _no_refusal(request: RunnerRequest) -> None:
    return None


def _contiguous(request: RunnerRequest) -> Runner:
    return _runner(request, torch.contiguous_format)


def _channels_last(request: RunnerRequest) -> Runner:
    return _runner(request, torch.channels_last)


def _runner(request: RunnerRequest, layout: torch.memory_format) -> Runner:
    network, dtype = request.network(), DTYPES[request.precision]
    if dtype != torch.float32:
        network.backbone = lowered(network.backbone, dtype, layout)
        return runner_of(network, request.folded, layout, dtype)
    network.backbone.to(memory_format=layout)  # type: ignore[call-overload]
    return runner_of(network, request.folded)


_PRECISIONS = tuple(DTYPES)
EAGER = RunnerKind("eager", _PRECISIONS, _no_refusal, _contiguous, takes_any_network=True)
CHANNELS_LAST = RunnerKind(
    "channels_last", _PRECISIONS, _no_refusal, _channels_last, takes_any_network=True
)
