"""Measures of regions (s, x, y) and (s_x, s_y, x, y)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

NEAR = 0.01  # in units of half the image's side


def smallest_look(config: Any) -> tuple[float, float, float]:
    """The region of the smallest look that a network of this config takes, as far as it tells: by
    its ``scale_range``, else the whole image."""
    return getattr(config, "scale_range", (1.0,))[0], 0.0, 0.0


def is_at_the_border(region: Tensor) -> Tensor:
    r"""Whether regions reach an edge of the image, to within 1 % of half its side, or go beyond.

    .. math:: \max(|x| + s_x, |y| + s_y) \ge 0.99

    Args:
        region (Tensor[..., 3] or Tensor[..., 4]): (s, x, y), where s_x = s_y = s, or
            (s_x, s_y, x, y).

    Returns:
        bool [...]. True for the whole image, (1, 0, 0).
    """
    return (region[..., -2:].abs() + region[..., :-2]).amax(dim=-1) >= 1 - NEAR


def region_scale(region: Tensor) -> Tensor:
    r"""The side of each region as a share of the image's: s, or :math:`\sqrt{s_x s_y}`.

    Args:
        region (Tensor[..., 3] or Tensor[..., 4]): see :func:`is_at_the_border`.

    Returns:
        Tensor[...] of the same dtype; 1 for the whole image.
    """
    if region.shape[-1] == 3:
        return region[..., 0]
    return (region[..., 0] * region[..., 1]).sqrt()
