"""A rectangle of a file as an image of its own."""

from __future__ import annotations

import numpy as np

from .levels import Level, Source
from .orientation import Box


class WindowSource:
    """See :class:`Source`; the levels on which the rectangle has whole pixels.

    It reads through the file's own source, which closing a window leaves open.
    """

    def __init__(self, source: Source, box: Box) -> None:
        self._source = source
        self._numbers: list[int] = []
        self._corners: list[tuple[int, int]] = []
        self.levels: list[Level] = []
        for number, level in enumerate(source.levels):
            sides = (
                box.top / level.factor_y, box.left / level.factor_x,
                (box.bottom - box.top) / level.factor_y, (box.right - box.left) / level.factor_x,
            )  # fmt: skip
            if not all(side.is_integer() for side in sides):
                continue
            top, left, height, width = (int(side) for side in sides)
            self._numbers.append(number)
            self._corners.append((top, left))
            self.levels.append(Level(height, width, level.factor_y, level.factor_x))

    @property
    def decodes_levels(self) -> bool:
        return self._source.decodes_levels

    @property
    def held_level(self) -> int | None:
        held = self._source.held_level
        return self._numbers.index(held) if held in self._numbers else None

    @property
    def nbytes(self) -> int:
        return 0

    def read(self, level: int, box: Box) -> np.ndarray:
        top, left = self._corners[level]
        moved = Box(box.left + left, box.top + top, box.right + left, box.bottom + top)
        return self._source.read(self._numbers[level], moved)

    def close(self) -> None:
        pass
