"""The loss and its parts over an epoch, without waiting for the device at every step."""

from __future__ import annotations

import torch
from torch import Tensor

# To read a value the host waits until the device has done all that it was given. Now and then is
# enough to show a loss and to see that it is finite.
READ_EVERY = 16


class LossSums:
    """Sums of a few values a step, which are read from the device every 16 steps.

    Attributes:
        last: the first value of the last step that was read.
        sums: of every value over the steps that were read, float64 [num_values] on the host. A
            value that is not finite makes its sum so, too.
    """

    def __init__(self, num_values: int) -> None:
        self.last = float("nan")
        self.sums = torch.zeros(num_values, dtype=torch.float64)
        self._unread: list[Tensor] = []
        self._is_new = True

    def add(self, values: Tensor) -> None:
        """Takes the values [num_values] of one step; reads them if it is time."""
        self._unread.append(values)
        if self._is_new or len(self._unread) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Reads what is not yet read."""
        if self._unread:
            values = torch.stack(self._unread).cpu().double()
            self._unread.clear()
            self._is_new = False
            self.sums += values.sum(0)
            self.last = float(values[-1, 0])
