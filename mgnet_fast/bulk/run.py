"""Scores units into an output folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .folder import Part, PartFolder
from .rows import Row
from .scoring import Scorer
from .units import Item, Unit, items_of

PART_SIZE = 5000


def open_work(units: Iterable[Unit], finished: dict[int, list[Part]]) -> list[tuple[Unit, int]]:
    """The units that are not finished, each with the number of its first image to do."""
    work = []
    for unit in units:
        parts = finished[unit.number]
        if not parts or not parts[-1].is_end:
            work.append((unit, parts[-1].stop if parts else 0))
    return work


def score_units(
    scorer: Scorer,
    folder: PartFolder,
    work: Iterable[tuple[Unit, int]],
    part_size: int,
    readers: int,
    seen: Callable[[Item, Row], None],
) -> None:
    """Score units in one stream; write a part every ``part_size`` images and at the end of a unit.

    An interruption writes what is there as a shorter part. A kill loses the images since the last
    part.

    Raises:
        OSError: a part cannot be written. Finished parts stay.
    """
    parts = _Parts(folder, part_size)
    items = (item for unit, start in work for item in items_of(unit, start))
    try:
        for item, row in scorer.rows(items, readers):
            parts.add(item, row)
            seen(item, row)
    except BaseException:
        parts.write(is_end=False)
        raise


class _Parts:
    """Collects rows and writes them as parts."""

    def __init__(self, folder: PartFolder, size: int) -> None:
        self._folder, self._size = folder, size
        self._rows: list[Row] = []
        self._unit = self._start = 0

    def add(self, item: Item, row: Row) -> None:
        if not self._rows:
            self._unit, self._start = item.unit, item.place
        self._rows.append(row)
        if item.is_last or len(self._rows) == self._size:
            self.write(is_end=item.is_last)

    def write(self, *, is_end: bool) -> None:
        rows, self._rows = self._rows, []  # what cannot be written is not tried again
        if rows:
            self._folder.commit(self._unit, self._start, rows, is_end=is_end)
