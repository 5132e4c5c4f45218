"""Which real numbers the 8-bit integers of an activation stand for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

QUANTILE = 0.99999
_BINS = 2048  # always even


class ActivationRange:
    """Collects the values of one activation, in memory that does not grow.

    The largest of a hundred thousand values is cut off: an activation of which a few values are far
    above all others would leave few of the 256 integers to those.
    """

    def __init__(self) -> None:
        self._lowest = 0.0
        self._top = 0.0  # a power of two times the first maximum
        self._counts = torch.zeros(_BINS, dtype=torch.float64)  # of values in 0..top

    def add(self, values: Tensor) -> None:
        """Takes float32 ``values`` of any shape into account.

        Raises:
            ValueError: NaN or infinity is among them.
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
        """The value that :data:`QUANTILE` of all values do not exceed, and at least 0."""
        total = self._counts.cumsum(0)
        full = int(torch.searchsorted(total, QUANTILE * total[-1])) + 1
        return self._top * min(full, _BINS) / _BINS

    def integers(self, levels: int) -> tuple[float, int]:
        """``scale`` and ``zero_point`` of integers in 0..levels that stand for this range.

        The real number 0 is always among them, for zero padding, and the lowest value is never cut
        off: it is 0 after a ReLU, and elsewhere as telling as the highest.
        """
        span = self.highest() - self._lowest
        if span == 0:
            return 1.0, 0
        scale = span / levels
        return scale, round(-self._lowest / scale)
