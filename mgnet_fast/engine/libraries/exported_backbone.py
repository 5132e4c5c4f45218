"""A backbone as torch's exported program, with any number of glimpses."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from ...models import GlimpseNetwork
from ...models.network import has_own_glimpse_size
from .library import CannotRun
from .silence import silence

_ROWS = 2  # of the example: an example of one row would fix the number of rows
_IMAGE = (208, 240)  # of the example: the exporter may take two equal open sides for one number


def exported_backbone(network: GlimpseNetwork) -> ExportedProgram:
    """``torch.export`` of the backbone in float32, on the CPU, in evaluation mode.

    The number of glimpses is open, and so are their sides if they depend on the image.

    Raises:
        CannotRun: torch cannot export it, or only for one number of glimpses.
    """
    shape: dict[int, Any] = {0: Dim("glimpses", min=1)}
    if not has_own_glimpse_size(network.config):
        shape |= {2: Dim.AUTO, 3: Dim.AUTO}
    name = type(network.backbone).__name__
    with torch.inference_mode(False), torch.no_grad(), silence():
        backbone = copy.deepcopy(network.backbone).float().eval().cpu()
        for each in chain(backbone.parameters(), backbone.buffers()):
            each.data = each.data.contiguous()  # libraries read weights as rows of memory
        given = (example_glimpses(network, _ROWS),)
        try:
            return torch.export.export(backbone, given, dynamic_shapes=(shape,))
        except Exception as error:  # whatever a foreign module or torch's tracer raises
            raise CannotRun.because(f"torch.export cannot export {name}", error) from error


def example_glimpses(network: GlimpseNetwork, count: int) -> Tensor:
    """Noise N(0, 1) in a shape that the backbone takes, float32 [count, C, h, w]."""
    sides = network.config.glimpse_shape(_IMAGE)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, network.config.in_chans, *sides, generator=generator)
