"""Compares the fast count of sectors with marking every byte."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.gpu.sectors import SECTOR_BYTES, sectors_read, taps


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8], ids=str)
@pytest.mark.parametrize("shape", [(19, 23), (17, 64)], ids=["unaligned", "aligned"])
def test_sectors_are_those_of_the_bytes(
    shape: tuple[int, int], dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    height, width = shape
    image = torch.zeros(2, 3, *shape, dtype=dtype).contiguous(memory_format=memory_format)
    region = torch.tensor([[0.6, 0.1, -0.2], [1.0, 0.4, 0.0]])
    item = image.element_size()
    touched = np.zeros(image.numel() * item, dtype=bool)
    for n, (scale, x, y) in enumerate(region.double().tolist()):
        for channel in range(3):
            for row in taps(scale, y, 7, height):
                for column in taps(scale, x, 7, width):
                    place = (n, channel, int(row), int(column))
                    at = item * sum(p * s for p, s in zip(place, image.stride(), strict=True))
                    touched[at : at + item] = True
    sectors = np.add.reduceat(touched, np.arange(0, touched.size, SECTOR_BYTES)) > 0
    assert sectors_read(image, region, 7) == int(sectors.sum())


def test_taps_leave_out_what_lies_outside() -> None:
    assert taps(1.0, 0.0, 3, 5).tolist() == [0, 2, 4]
    assert taps(1.0, 1.0, 3, 5).tolist() == [2, 4]
    assert taps(0.5, 5.0, 4, 9).tolist() == []
