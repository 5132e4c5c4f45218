"""Several looks at each image in standard operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .filtered_glimpse import axis_weights, pixels_along, positions


class PlainLooks(nn.Module):
    """Glimpses [B * k, C, h, w] of float32 images [B, C, H, W] at regions [B, k, 3 or 4].

    The grids of the k looks of an image lie below each other, so that ``GridSample`` reads the
    image itself and not k copies of it. Antialiased looks are matrix products, see
    :class:`.filtered_glimpse.FilteredGlimpse`.

    Args:
        size: height and width of a glimpse.
        options: ``align_corners``, ``clamp_to_region`` and ``antialias`` of
            :func:`mgnet_fast.glimpse`.
    """

    columns: Tensor
    rows: Tensor

    def __init__(self, size: tuple[int, int], options: Mapping[str, Any]) -> None:
        super().__init__()
        self.has_corners = bool(options.get("align_corners", True))
        self.clamps = bool(options.get("clamp_to_region", False)) and not self.has_corners
        self.antialias = bool(options.get("antialias", False))
        self.register_buffer("rows", positions(size[0], has_corners=self.has_corners))
        self.register_buffer("columns", positions(size[1], has_corners=self.has_corners))

    def forward(self, images: Tensor, region: Tensor) -> Tensor:
        scale_x, scale_y = region[..., :1], region[..., -3:-2]
        x, y = region[..., -2:-1], region[..., -1:]
        if self.antialias:
            width, height = images[0, 0, 0], images[0, 0, :, 0]
            across = axis_weights(scale_x, x, self.columns, width, has_corners=self.has_corners)
            down = axis_weights(scale_y, y, self.rows, height, has_corners=self.has_corners)
            looks = down[:, :, None] @ (images[:, None] @ across.transpose(2, 3)[:, :, None])
            return looks.flatten(0, 1)
        across = self._places(scale_x, x, self.columns, images[0, 0, 0])
        down = self._places(scale_y, y, self.rows, images[0, 0, :, 0])
        shape = (*region.shape[:2], self.rows.shape[0], self.columns.shape[0])
        grid = torch.stack(
            [across[:, :, None, :].expand(shape), down[:, :, :, None].expand(shape)], dim=-1
        )
        stacked = F.grid_sample(
            images, grid.flatten(1, 2), "bilinear", "zeros", align_corners=self.has_corners
        )
        looks = stacked.unflatten(2, (shape[1], shape[2]))
        return looks.transpose(1, 2).flatten(0, 1)

    def _places(self, scale: Tensor, shift: Tensor, base: Tensor, pixels: Tensor) -> Tensor:
        """Where samples lie along an axis, [B, k, n], in units where the image spans [-1, 1]."""
        places = shift + scale * base
        if not self.clamps:
            return places
        room = (scale.abs() - 1 / pixels_along(pixels)).clamp(min=0)  # to both sides of the centre
        return torch.minimum(torch.maximum(places, shift - room), shift + room)
