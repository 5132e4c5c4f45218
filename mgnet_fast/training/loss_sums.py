"""Sums of the loss and its parts over an epoch, with few synchronisations with the device."""

from __future__ import annotations

import torch
from torch import Tensor

# Steps between readings. To read a value the host waits for all work of the device.
READ_EVERY = 16


class LossSums:
    """Sums of a few values per step, read from the device every 16 steps.

    Attributes:
        last: the first value of the last step that was read; NaN before.
        sums: float64 [num_values] on the host, sums over the steps that were read; not finite as
            soon as a value is not.
    """

    def __init__(self, num_values: int) -> None:
        self.last = float("nan")
        self.sums = torch.zeros(num_values, dtype=torch.float64)
        self._unread: list[Tensor] = []
        self._is_new = True

    def add(self, values: Tensor) -> None:
        """Adds the values [num_values] of a step, and reads if 16 steps are waiting."""
        self._unread.append(values)
        if self._is_new or len(self._unread) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Reads all values that are waiting."""
        if self._unread:
            values = torch.stack(self._unread).cpu().double()
            self._unread.clear()
            self._is_new = False
            self.sums += values.sum(0)
            self.last = float(values[-1, 0])
