"""Counts the 32-byte sectors that a glimpse must read, as a GPU's cache fetches them."""

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
    planes = np.arange(1 if interleaved else channels) * stride_c
    aligned = stride_h % SECTOR_BYTES == 0 and (interleaved or stride_c % SECTOR_BYTES == 0)
    total, scattered = 0, []
    for n, (scale, x, y) in enumerate(region.double().tolist()):
        row = _sectors_from(taps(scale, x, size, width) * stride_w, pixel_bytes)
        rows = (taps(scale, y, size, height) * stride_h + planes[:, None]).ravel()
        if aligned and stride_n % SECTOR_BYTES == 0:  # rows share no sector and are all alike
            total += rows.size * row.size
        else:
            columns = n * stride_n + taps(scale, x, size, width) * stride_w
            scattered.append(_sectors_from((rows[:, None] + columns).ravel(), pixel_bytes))
    return total + (int(np.unique(np.concatenate(scattered)).size) if scattered else 0)


def _sectors_from(starts: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """The numbers of the sectors that hold ``pixel_bytes`` bytes from each of ``starts``."""
    reach = np.arange(0, pixel_bytes + SECTOR_BYTES - 1, SECTOR_BYTES).clip(max=pixel_bytes - 1)
    return np.unique((starts[:, None] + reach) // SECTOR_BYTES)
