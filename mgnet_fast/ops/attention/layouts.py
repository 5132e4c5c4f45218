"""How a map lies in memory: as rows of positions, or as rows of channels."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_of_positions(local: Tensor) -> int | None:
    """Elements between channels, if each channel's positions lie side by side."""
    _, channels, height, width = local.shape
    _, of_channel, of_row, of_column = local.stride()
    if (width > 1 and of_column != 1) or (height > 1 and of_row != width):
        return None
    if channels > 1 and of_channel < height * width:
        return None
    return of_channel


def rows_of_channels(local: Tensor) -> int | None:
    """Elements between positions, if each position's channels lie side by side."""
    _, channels, height, width = local.shape
    _, of_channel, of_row, of_column = local.stride()
    if channels > 1 and of_channel != 1:
        return None
    if width == 1:
        return of_row if height == 1 or of_row >= channels else None
    if of_column < channels or (height > 1 and of_row != width * of_column):
        return None
    return of_column


def like(local: Tensor) -> Tensor:
    """Memory for the gradient of a map, in the layout that the kernels write."""
    is_last = rows_of_positions(local) is None
    layout = torch.channels_last if is_last else torch.contiguous_format
    return torch.empty_like(local, memory_format=layout)
