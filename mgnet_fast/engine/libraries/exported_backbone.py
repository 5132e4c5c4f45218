"""A backbone as torch's exported program, with any number of glimpses."""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from ...models import GlimpseNetwork
from ...models.backbones.same_padding import SameConv2d
from ...models.network import has_own_glimpse_size
from .library import CannotRun
from .silence import silence

_ROWS = 2  # of the example: an example of one row would fix the number of rows
EXPORTED_IMAGE = (208, 240)  # the exporter may take two equal open sides for one number


def exported_backbone(
    network: GlimpseNetwork, sides: tuple[int, int] | None = None
) -> ExportedProgram:
    """``torch.export`` of the backbone in float32, on the CPU, in evaluation mode.

    The number of glimpses is open, and so are their sides if they depend on the image.

    Args:
        network: the backbone's.
        sides: (h, w) of the glimpses, where :func:`needs_sides` is True.

    Raises:
        CannotRun: torch cannot export it, or only for one number of glimpses; or it needs sides.
    """
    shape: dict[int, Any] = {0: Dim("glimpses", min=1)}
    name = type(network.backbone).__name__
    if sides is None and not has_own_glimpse_size(network.config):
        shape |= {2: Dim.AUTO, 3: Dim.AUTO}
        if needs_sides(network):
            raise CannotRun(
                f"the padding of {name} depends on the size of the image, so it needs a program "
                "for each size, which there is for fp32 and bf16 only"
            )
    with torch.inference_mode(False), torch.no_grad(), silence():
        backbone = copy.deepcopy(network.backbone).float().eval().cpu()
        for each in chain(backbone.parameters(), backbone.buffers()):
            each.data = each.data.contiguous()  # libraries read weights as rows of memory
        given = (example_glimpses(network, _ROWS, sides or EXPORTED_IMAGE),)
        try:
            return torch.export.export(backbone, given, dynamic_shapes=(shape,))
        except Exception as error:  # whatever a foreign module or torch's tracer raises
            raise CannotRun.because(f"torch.export cannot export {name}", error) from error


def needs_sides(network: GlimpseNetwork) -> bool:
    """Whether the backbone sees images of any size, and pads by their size.

    With open sides torch takes minutes to export it, and no library computes the result.
    """
    if has_own_glimpse_size(network.config):
        return False
    convolutions = (each for each in network.backbone.modules() if isinstance(each, SameConv2d))
    return any(not each.pads_itself for each in convolutions)


def example_glimpses(
    network: GlimpseNetwork, count: int, image: tuple[int, int] = EXPORTED_IMAGE
) -> Tensor:
    """Noise N(0, 1) in the shape of glimpses of an image of this size, float32 [count, C, h, w]."""
    sides = network.config.glimpse_shape(image)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, network.config.in_chans, *sides, generator=generator)
