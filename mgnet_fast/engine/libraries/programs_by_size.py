"""Programs of one size each, for backbones that cannot be exported with open sides."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .library_backbone import Program

MOST_SIZES = 4
"""Sizes whose programs are kept; each has a copy of the weights."""


def programs_by_size(
    make: Callable[[tuple[int, int]], Callable[[int], Program]],
) -> Callable[[int], Program]:
    """A function from the number of threads to a program that is made anew for each new size.

    Args:
        make: from the sides (h, w) of glimpses to a function from the number of threads to the
            program for them. It takes seconds.
    """

    def open_program(threads: int) -> Program:
        programs: dict[tuple[int, int], Program] = {}

        def program(glimpses: Tensor) -> Tensor:
            sides = (glimpses.shape[2], glimpses.shape[3])
            if sides not in programs:
                if len(programs) == MOST_SIZES:
                    del programs[next(iter(programs))]  # the oldest
                programs[sides] = make(sides)(threads)
            return programs[sides](glimpses)

        return program

    return open_program
