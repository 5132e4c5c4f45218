"""From a loop to torch's exported program, with the batch and the image's size left open."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from .options import ExportOptions

_EXAMPLE_SIDES = (112, 120)  # not equal, or one size would be taken for both


def exported_program(loop: nn.Module, options: ExportOptions, channels: int) -> ExportedProgram:
    """``torch.export`` of ``loop`` (a module on the CPU, in evaluation mode)."""
    with torch.no_grad():
        return torch.export.export(
            loop.eval(),
            (example_input(options, channels),),
            dynamic_shapes=(_dynamic_shape(options),),
        )


def example_input(options: ExportOptions, channels: int) -> Tensor:
    """Zeros of a shape that the program is to accept."""
    # A batch of one would be taken for the only one.
    batch = min(max(options.batch.usual, 2), options.batch.high)
    height, width = options.image_size or _example_size(options)
    if options.input == "uint8":
        return torch.zeros(batch, height, width, channels, dtype=torch.uint8)
    return torch.zeros(batch, channels, height, width)


def _example_size(options: ExportOptions) -> tuple[int, int]:
    """Two sides that the sizes allow, not equal where they need not be."""
    sizes = options.open_sizes
    height, width = (
        min(max(side, low), high)
        for side, low, high in zip(_EXAMPLE_SIDES, sizes.low, sizes.high, strict=True)
    )
    if height == width and sizes.low[1] < sizes.high[1]:
        width += 1 if width < sizes.high[1] else -1
    return height, width


def _dynamic_shape(options: ExportOptions) -> dict[int, Any]:
    shape: dict[int, Any] = {}
    if options.batch.low < options.batch.high:
        shape[0] = Dim("batch", min=options.batch.low, max=options.batch.high)
    if options.image_size is None:
        first, sizes = 1 if options.input == "uint8" else 2, options.open_sizes
        for place, name in enumerate(("height", "width")):
            if sizes.low[place] < sizes.high[place]:
                shape[first + place] = Dim(name, min=sizes.low[place], max=sizes.high[place])
    return shape
