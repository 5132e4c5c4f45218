"""Regions at the edge of the image."""

from __future__ import annotations

from torch import Tensor

NEAR = 0.01  # of half the image's side


def is_at_the_border(region: Tensor) -> Tensor:
    """Whether regions end within 1 % of half the image's side from an edge, or beyond it.

        max(|x|, |y|) + s >= 0.99

    Args:
        region (Tensor[..., 3]): (s, x, y).

    Returns:
        bool [...]. The first glimpse, (1, 0, 0), always is.
    """
    return region[..., 1:].abs().amax(dim=-1) + region[..., 0] >= 1 - NEAR
