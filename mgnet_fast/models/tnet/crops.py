"""The crops of a level: cells of the grid over an image, or over a crop of the level before."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Crops(NamedTuple):
    """R crops of each of B images; all crops of an image have one size.

    Attributes:
        origin (Tensor[B, R, 2]): int64, row and column of the first pixel, in pixels of the
            image; negative where zeros are padded before it.
        cell (Tensor[B, R, 2]): int64, row and column in the grid of the level: at level l the
            whole image has n^l x n^l cells.
        size (Tensor[B, 2]): int64, height and width in pixels.
    """

    origin: Tensor
    cell: Tensor
    size: Tensor


def whole_images(sizes: Tensor) -> Crops:
    """The first level: one crop per image, all of it. ``sizes`` [B, 2] are int64 H and W."""
    corner = sizes.new_zeros(sizes.shape[0], 1, 2)
    return Crops(corner, corner, sizes)


def cell_size(size: Tensor, overlap: float) -> Tensor:
    """Side of a cell in pixels, int64, of crops of ``size``: rounded to even where it is half."""
    return (size.double() * overlap).round().long()


def chosen_crops(crops: Crops, chosen: Tensor, grid: int, overlap: float) -> Crops:
    r"""The crops at the chosen cells.

    With a side of m pixels and n cells, a cell has p = round(m * overlap) pixels, cells are
    c = ceil((m - p) / (n - 1)) pixels apart, and (n - 1) c + p - m zeros are padded, the larger
    half of them before the first pixel.

    Args:
        crops: R crops per image.
        chosen (Tensor[B, R, k]): int64, cells i n + j of each crop, ascending.
        grid: n.
        overlap: of the config.

    Returns:
        R k crops per image, in the order of ``chosen``.

    Source: published code; paper, section 3.1.
    """
    size = cell_size(crops.size, overlap)
    apart = -((size - crops.size) // (grid - 1))
    padding = (grid - 1) * apart + size - crops.size
    before = (padding + 1) // 2
    at = torch.stack([chosen // grid, chosen % grid], dim=-1)  # [B, R, k, 2]
    origin = crops.origin[:, :, None] + at * apart[:, None, None] - before[:, None, None]
    cell = crops.cell[:, :, None] * grid + at
    return Crops(origin.flatten(1, 2), cell.flatten(1, 2), size)


def regions(crops: Crops, sizes: Tensor) -> Tensor:
    """Crops as regions (s_x, s_y, x, y) of images of ``sizes`` [B, 2], float64 [B, R, 4].

    In float64 they are exact to a billionth of a pixel, for images of any size.
    """
    side = sizes[:, None].double()
    extent = crops.size[:, None].double()
    scale = (extent / side).expand(-1, crops.origin.shape[1], -1)
    centre = (2 * crops.origin + extent) / side - 1
    return torch.cat([scale.flip(-1), centre.flip(-1)], dim=-1)
