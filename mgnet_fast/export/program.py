"""From a loop to torch's exported program, with the batch and the image's size left open."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from .options import LARGEST_SIDE, ExportOptions

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
    height, width = options.image_size or _EXAMPLE_SIDES
    if options.input == "uint8":
        return torch.zeros(batch, height, width, channels, dtype=torch.uint8)
    return torch.zeros(batch, channels, height, width)


def _dynamic_shape(options: ExportOptions) -> dict[int, Any]:
    shape: dict[int, Any] = {}
    if options.batch.low < options.batch.high:
        shape[0] = Dim("batch", min=options.batch.low, max=options.batch.high)
    if options.image_size is None:
        first = 1 if options.input == "uint8" else 2
        shape[first] = Dim("height", min=2, max=LARGEST_SIDE)
        shape[first + 1] = Dim("width", min=2, max=LARGEST_SIDE)
    return shape
