"""A backbone run by a library, in the place of the network's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Program = Callable[[Tensor], Tensor]
"""Maps contiguous float32 [N, C, h, w], N >= 1, to float32 [N, features].

It reads its argument's memory in place, and may overwrite its result in the next call."""


class LibraryBackbone(nn.Module):
    """Maps [N, C, h, w] to float32 [N, features] on the CPU, for inference only.

    A snapshot: later changes of the original's weights have no effect.

    Args:
        backbone: the module that it stands for, whose other attributes a network may use. Its
            weights are given up.
        open_program: opens the program for a number of threads. It is called again if
            ``torch.get_num_threads()`` has changed.
    """

    def __init__(self, backbone: nn.Module, open_program: Callable[[int], Program]) -> None:
        super().__init__()
        self._backbone = (backbone.to("meta"),)  # in a tuple: it is no part of this module
        self._open = open_program
        self._threads = torch.get_num_threads()
        self._program = open_program(self._threads)

    @property
    def program(self) -> Program:
        """The program for torch's current number of threads."""
        threads = torch.get_num_threads()
        if threads != self._threads:
            self._program, self._threads = self._open(threads), threads
        return self._program

    def forward(self, x: Tensor) -> Tensor:
        if not len(x):
            return self(x.new_zeros(1, *x.shape[1:]))[:0]  # libraries fail at empty batches
        # A library's ReLU may turn NaN into 0, and integers have no NaN, so an image with NaN
        # needs NaN restored here. The sum also copies the result out of the library's memory.
        nan_if_odd = x.sum(dim=(1, 2, 3))[:, None] * 0
        x, rows = x.contiguous(), self._rows_at_once(x)
        if rows >= len(x):
            return self.program(x) + nan_if_odd
        parts = zip(x.split(rows), nan_if_odd.split(rows), strict=True)
        return torch.cat([self.program(part) + odd for part, odd in parts])

    def _rows_at_once(self, x: Tensor) -> int:
        """A backbone that goes through large glimpses in portions does so in a library, too."""
        rule = getattr(self._backbone[0], "rows_at_once", len)
        return int(rule(x))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._backbone[0], name)
