"""The oracle itself, against the definition written out sample by sample in Python."""

from __future__ import annotations

import math

import pytest
import torch
from support.cases import expected_glimpse, random_image, random_region
from torch import Tensor


def sample_by_sample(
    image: Tensor, region: Tensor, size: tuple[int, int], align_corners: bool, padding_mode: str
) -> Tensor:
    def coordinate(step: int, steps: int, scale: float, centre: float, extent: int) -> float:
        if align_corners:
            base = 0.0 if steps == 1 else -1 + 2 * step / (steps - 1)
            position = (scale * base + centre + 1) / 2 * (extent - 1)
        else:
            base = (2 * step + 1) / steps - 1
            position = ((scale * base + centre + 1) * extent - 1) / 2
        if padding_mode == "border":
            position = min(max(position, 0.0), extent - 1.0)
        return position

    def pixel(plane: Tensor, row: int, column: int) -> float:
        inside = 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]
        return float(plane[row, column]) if inside else 0.0

    count, channels = image.shape[:2]
    result = torch.zeros(count, channels, *size, dtype=torch.float64)
    for n in range(count):
        scale_x, scale_y = float(region[n, 0]), float(region[n, -3])
        for r in range(size[0]):
            y = coordinate(r, size[0], scale_y, float(region[n, -1]), image.shape[2])
            for c in range(size[1]):
                x = coordinate(c, size[1], scale_x, float(region[n, -2]), image.shape[3])
                top, left = math.floor(y), math.floor(x)
                for k in range(channels):
                    result[n, k, r, c] = sum(
                        pixel(image[n, k], top + i, left + j)
                        * (1 - abs(y - top - i))
                        * (1 - abs(x - left - j))
                        for i in (0, 1)
                        for j in (0, 1)
                    )
    return result


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "border"])
@pytest.mark.parametrize("columns", [3, 4])
def test_reference_is_the_definition(columns: int, padding_mode: str, align_corners: bool) -> None:
    image = random_image((4, 2, 7, 9), torch.float64)
    region = random_region(4, columns, torch.float64)
    for size in ((5, 4), (1, 3)):
        got = expected_glimpse(
            image, region, size, align_corners=align_corners, padding_mode=padding_mode
        )
        expected = sample_by_sample(image, region, size, align_corners, padding_mode)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
