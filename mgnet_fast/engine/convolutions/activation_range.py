"""The real range that the 8-bit integers of an activation represent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

QUANTILE = 0.99999
_BINS = 2048  # must be even


class ActivationRange:
    """A histogram of the values of one activation, in constant memory.

    The largest 0.001 % of the values are cut off, because a few outliers would leave the others
    only a few of the 256 integers.
    """

    def __init__(self) -> None:
        self._lowest = 0.0
        self._top = 0.0  # the first maximum times a power of two
        self._counts = torch.zeros(_BINS, dtype=torch.float64)  # counts of values in 0..top

    def add(self, values: Tensor) -> None:
        """Add float32 ``values`` of any shape.

        Raises:
            ValueError: they contain NaN or infinity.
        """
        lowest, highest = (float(each) for each in values.aminmax())
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            raise ValueError("calibration must give finite activations, got NaN or infinity")
        self._lowest = min(self._lowest, lowest)
        if self._top == 0:
            self._top = max(highest, 0.0)
        while self._top < highest:
            pairs = self._counts.view(-1, 2).sum(dim=1)
            self._counts = torch.cat([pairs, torch.zeros_like(pairs)])
            self._top *= 2
        if self._top == 0:
            return
        counts = torch.histc(values.clamp(min=0).flatten(), _BINS, 0, self._top)
        self._counts += counts.to(self._counts)

    def highest(self) -> float:
        """The quantile :data:`QUANTILE` of all values, at least 0."""
        total = self._counts.cumsum(0)
        full = int(torch.searchsorted(total, QUANTILE * total[-1])) + 1
        return self._top * min(full, _BINS) / _BINS

    def integers(self, levels: int) -> tuple[float, int]:
        """``scale`` and ``zero_point`` of integers in 0..levels for this range.

        The range always includes 0, which zero padding needs, and the lowest value: after a ReLU it
        is 0, and elsewhere it matters as much as the highest.
        """
        span = self.highest() - self._lowest
        if span == 0:
            return 1.0, 0
        scale = span / levels
        return scale, round(-self._lowest / scale)
