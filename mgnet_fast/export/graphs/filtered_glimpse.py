"""The antialiased glimpse in standard operators: two matrix products."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FilteredGlimpse(nn.Module):
    r"""Glimpses whose samples average the pixels between them, see :func:`mgnet_fast.glimpse`.

    A sample's weights for all pixels of an axis are a row of a matrix, so a glimpse is
    :math:`W_y \, image \, W_x^T`. A step of one pixel or less gives the bilinear weights. The
    products read every pixel once per glimpse and multiply most of them by 0: about h + w
    multiply-adds per pixel of the image. The package's own op reads only what is under the glimpse.
    """

    columns: Tensor
    rows: Tensor

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("rows", positions(size[0]))
        self.register_buffer("columns", positions(size[1]))

    def forward(self, images: Tensor, region: Tensor) -> Tensor:
        """Glimpses [B, C, h, w] of float32 ``images`` [B, C, H, W] at ``region`` [B, 3]."""
        scale, x, y = region[:, :1], region[:, 1:2], region[:, 2:]
        across = axis_weights(scale, x, self.columns, images[0, 0, 0])
        down = axis_weights(scale, y, self.rows, images[0, 0, :, 0])
        return down[:, None] @ (images @ across.transpose(1, 2)[:, None])


def positions(count: int, *, has_corners: bool = True) -> Tensor:
    """``count`` evenly spaced positions in [-1, 1], the centre for one; without corners the centres
    of as many cells."""
    if count == 1:
        return torch.zeros(1)
    line = torch.linspace(-1, 1, count, dtype=torch.float64)
    return (line if has_corners else line * (1 - 1 / count)).float()


def pixels_along(pixels: Tensor) -> Tensor:
    """The number of ``pixels`` [S] as a tensor, which exporters know for images of any size."""
    return torch.ones_like(pixels).sum()


def axis_weights(
    scale: Tensor, shift: Tensor, base: Tensor, pixels: Tensor, *, has_corners: bool = True
) -> Tensor:
    """Weights [..., n, S] of the S ``pixels`` of an axis in the samples at ``base`` [n].

    ``scale`` and ``shift`` are [..., 1].
    """
    number = torch.cumsum(torch.ones_like(pixels), dim=0) - 1
    last = number[-1]
    place = scale * base + shift + 1
    if has_corners:
        position, apart = place / 2 * last, scale.abs() * last / max(base.shape[0] - 1, 1)
    else:
        position, apart = (place * (last + 1) - 1) / 2, scale.abs() * (last + 1) / base.shape[0]
    radius = apart.clamp(min=1)[..., None]
    distance = (number - position[..., None]).abs()
    triangle = (1 - distance / radius).clamp(min=0)
    share = torch.minimum(position + 1, last + 1 - position).clamp(0, 1)
    total = triangle.sum(dim=-1).clamp(min=1e-6)
    return triangle * (share / total)[..., None]
