"""Antialiased glimpses in plain differentiable PyTorch: a dense matrix of weights for each axis.

The definition is in the docstring of :func:`mgnet_fast.glimpse`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..sampling import Options


def is_wide(region: Tensor, shape: torch.Size, options: Options) -> Tensor:
    """Whether samples are more than a pixel apart along either axis [N]."""
    across = _step(region[:, 0], shape[3], options.width, options.align_corners)
    down = _step(region[:, -3], shape[2], options.height, options.align_corners)
    return (across > 1) | (down > 1)


def filtered(source: Tensor, region: Tensor, options: Options) -> Tensor:
    """Samples [N, C, height, width] of ``source`` [N, C, H, W], filtered along both axes."""
    columns = _weights(region[:, 0], region[:, -2], source.shape[3], options.width, options)
    rows = _weights(region[:, -3], region[:, -1], source.shape[2], options.height, options)
    columns, rows = columns.to(source.dtype), rows.to(source.dtype)
    return rows[:, None] @ (source @ columns.transpose(1, 2)[:, None])


def _step(scale: Tensor, size: int, count: int, align_corners: bool) -> Tensor:
    """Pixels between samples [N]."""
    pixels, steps = (size - 1, max(count - 1, 1)) if align_corners else (size, count)
    return scale.double().abs() * pixels / steps


def _positions(scale: Tensor, shift: Tensor, size: int, count: int, align_corners: bool) -> Tensor:
    """Where samples fall, in pixels [N, count]."""
    number = torch.arange(count, dtype=torch.float64, device=scale.device)
    if align_corners:
        base = 2 * number / max(count - 1, 1) - (1 if count > 1 else 0)
    else:
        base = (2 * number + 1) / count - 1
    position = scale.double()[:, None] * base + shift.double()[:, None] + 1
    return position * (size - 1) / 2 if align_corners else (position * size - 1) / 2


def _weights(scale: Tensor, shift: Tensor, size: int, count: int, options: Options) -> Tensor:
    """Weights of the pixels of an axis in each sample [N, count, size], in float64.

    Written with the masks that decide which side of a kink a derivative is taken from.
    """
    position = _positions(scale, shift, size, count, options.align_corners)
    radius = _step(scale, size, count, options.align_corners).clamp(min=1)[:, None, None]
    last = size - 1
    if options.padding_mode == "border":
        moved = (position <= 0) | (position >= last)
        position = torch.where(moved, position.detach().clamp(0, last), position)
        share = torch.ones_like(position)
    else:
        fading = torch.where(position < 0, position + 1, size - position).clamp(min=0)
        share = torch.where((position >= 0) & (position < last), 1.0, fading)
    pixel = torch.arange(size, dtype=torch.float64, device=scale.device)
    distance = pixel - position[:, :, None]
    reached = (distance > -radius) & (distance <= radius) & (share > 0)[:, :, None]
    fall = torch.where(distance <= 0, -distance, distance) / radius
    triangle = torch.where(reached, 1 - fall, 0.0)
    total = triangle.sum(dim=2, keepdim=True)
    return share[:, :, None] * triangle / torch.where(total > 0, total, 1.0)
