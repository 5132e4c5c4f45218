"""torch's exported program of a loop or step, with open batch and image size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ...models import GlimpseNetwork, MGNet
from ..options import ExportOptions

_EXAMPLE_SIDES = (112, 120)  # different, so that the two sides stay independent


def exported_program(
    module: nn.Module, model: GlimpseNetwork, options: ExportOptions
) -> ExportedProgram:
    """``torch.export`` of ``module`` (a loop or step of ``model``, in evaluation mode)."""
    inputs, shapes = [example_images(model, options)], [_dynamic_images(options)]
    if options.what == "step":
        assert isinstance(model, MGNet)  # see check_exportable
        state = _example_state(len(inputs[0]), model, options)
        inputs += state
        shapes += [_dynamic_batch(options) for _ in state]
    device = next(module.buffers()).device
    given = tuple(each.to(device) for each in inputs)
    with torch.no_grad():
        return torch.export.export(module.eval(), given, dynamic_shapes=tuple(shapes))


def example_images(model: GlimpseNetwork, options: ExportOptions) -> Tensor:
    """Zeros of a shape that the program must accept."""
    # A batch of one would fix the batch size at one.
    batch = min(max(options.batch.usual, 2), options.batch.high)
    channels = model.config.in_chans
    if options.sampling == "outside":
        return torch.zeros(batch, channels, *options.glimpse_shape(model.config))
    height, width = options.image_size or _example_size(options)
    if options.input == "uint8":
        return torch.zeros(batch, height, width, channels, dtype=torch.uint8)
    return torch.zeros(batch, channels, height, width)


def _example_state(count: int, model: MGNet, options: ExportOptions) -> list[Tensor]:
    """Regions, cached tokens and numbers of glimpses."""
    steps, width = options.steps(model.config), model.loc_network.fc.in_features
    tokens = torch.zeros(count, steps, width)
    return [torch.eye(1, 3).repeat(count, 1), tokens, torch.ones(count, dtype=torch.int64)]


def _example_size(options: ExportOptions) -> tuple[int, int]:
    """Two sides within the allowed sizes, different if possible."""
    sizes = options.open_sizes
    height, width = (
        min(max(side, low), high)
        for side, low, high in zip(_EXAMPLE_SIDES, sizes.low, sizes.high, strict=True)
    )
    if height == width and sizes.low[1] < sizes.high[1]:
        width += 1 if width < sizes.high[1] else -1
    return height, width


def _dynamic_batch(options: ExportOptions) -> dict[int, Any]:
    if options.batch.low < options.batch.high:
        return {0: Dim("batch", min=options.batch.low, max=options.batch.high)}
    return {}


def _dynamic_images(options: ExportOptions) -> dict[int, Any]:
    shape = _dynamic_batch(options)
    if options.image_size is None and options.sampling == "inside":
        first, sizes = 1 if options.input == "uint8" else 2, options.open_sizes
        for place, name in enumerate(("height", "width")):
            if sizes.low[place] < sizes.high[place]:
                shape[first + place] = Dim(name, min=sizes.low[place], max=sizes.high[place])
    return shape
