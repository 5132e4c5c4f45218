"""How much memory a glimpse has to touch: whole sectors of 32 bytes, as a GPU's cache fetches."""

from __future__ import annotations

import numpy as np
from torch import Tensor

SECTOR_BYTES = 32


def taps(scale: float, shift: float, count: int, pixels: int) -> np.ndarray:
    """The pixels of an axis that ``count`` samples blend, each once, in order (align_corners)."""
    base = np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
    position = ((base * scale + shift) + 1) / 2 * (pixels - 1)
    low = np.floor(position)
    both = np.concatenate([low, np.where(position > low, low + 1, low)])
    return np.unique(both[(both >= 0) & (both < pixels)]).astype(np.int64)


def sectors_read(image: Tensor, region: Tensor, size: int) -> int:
    """Sectors that glimpses [N, C, size, size] of ``image`` [B = N, C, H, W] read, each once.

    Counted exactly from the pixels with a weight; ``image`` is contiguous or channels_last and
    starts at a sector's boundary, ``region`` holds rows (s, x, y).
    """
    item = image.element_size()
    channels, height, width = image.shape[1:]
    stride_n, stride_c, stride_h, stride_w = (stride * item for stride in image.stride())
    interleaved = stride_c == item and channels > 1
    pixel_bytes = channels * item if interleaved else item
    planes = [0] if interleaved else [channel * stride_c for channel in range(channels)]
    total = 0
    for n, (scale, x, y) in enumerate(region.double().tolist()):
        columns = taps(scale, x, size, width) * stride_w
        rows = taps(scale, y, size, height) * stride_h
        for plane in planes:
            starts = n * stride_n + plane + rows
            # Rows that begin at the same place within a sector touch equally many.
            for phase, times in zip(
                *np.unique(starts % SECTOR_BYTES, return_counts=True), strict=True
            ):
                total += int(times) * _sectors_of_row(phase + columns, pixel_bytes)
    return total


def _sectors_of_row(starts: np.ndarray, pixel_bytes: int) -> int:
    if starts.size == 0:
        return 0
    reach = np.arange(0, pixel_bytes + SECTOR_BYTES - 1, SECTOR_BYTES).clip(max=pixel_bytes - 1)
    return int(np.unique((starts[:, None] + reach) // SECTOR_BYTES).size)
