"""Regions as rectangles in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Box:
    """A rectangle in pixel coordinates of an image: pixel (0, 0) has its centre at (0, 0)."""

    left: float
    top: float
    width: float
    height: float


def region_box(
    region: Sequence[float] | np.ndarray, height: int, width: int, align_corners: bool = True
) -> Box:
    """The rectangle that the outermost sample positions of a region span, in pixels.

    With ``align_corners=True`` the normalised coordinate c lies at pixel (c + 1) / 2 * (size - 1),
    so region (1, 0, 0) runs from the centre of the first pixel to the centre of the last one;
    with ``False`` at ((c + 1) * size - 1) / 2, the outer edges of these pixels.

    Args:
        region: (s, x, y) or (s_x, s_y, x, y); x goes with the width.
        height, width: size of the image in pixels.

    Raises:
        ValueError: region has neither 3 nor 4 numbers.
    """
    numbers = [float(v) for v in region]
    if len(numbers) == 3:
        scale_x, scale_y, x, y = numbers[0], *numbers
    elif len(numbers) == 4:
        scale_x, scale_y, x, y = numbers
    else:
        raise ValueError(f"region must have 3 or 4 numbers, got {len(numbers)}")

    def pixel(coordinate: float, size: int) -> float:
        if align_corners:
            return (coordinate + 1) / 2 * (size - 1)
        return ((coordinate + 1) * size - 1) / 2

    left, right = pixel(x - scale_x, width), pixel(x + scale_x, width)
    top, bottom = pixel(y - scale_y, height), pixel(y + scale_y, height)
    return Box(left, top, right - left, bottom - top)
