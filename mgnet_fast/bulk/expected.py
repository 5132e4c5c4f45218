"""How many images there will be."""

from __future__ import annotations

from collections.abc import Iterable

from .folder import Part
from .units import Item, Unit


class Expected:
    """The number of images of units; for tar shards estimated from what was read of them so far.

    Attributes:
        before: images of finished parts.
    """

    def __init__(
        self, units: Iterable[Unit], finished: dict[int, list[Part]] | None = None
    ) -> None:
        self._known = 0  # images of units whose number is known
        self._unread = 0  # bytes of tar shards not begun
        self._read = self._found = 0  # bytes and images of tar shards
        self._bytes: dict[int, int] = {}  # of tar shards that are not finished
        self._current: tuple[int, int, int] = (-1, 0, 0)  # unit, bytes, images
        self.before = 0
        for unit in units:
            parts = finished[unit.number] if finished is not None else []
            self.before += parts[-1].stop if parts else 0
            if unit.size is not None:
                self._known += unit.size
            elif parts and parts[-1].is_end:
                self._known += parts[-1].stop
                self._read += unit.shard_bytes or 0
                self._found += parts[-1].stop
            else:
                self._bytes[unit.number] = unit.shard_bytes or 0

    @property
    def is_exact(self) -> bool:
        """Whether there is nothing to estimate."""
        return not self._bytes

    def see(self, item: Item) -> None:
        """Take an image of a tar shard into account; others change nothing."""
        if item.unit not in self._bytes:
            return
        self._current = item.unit, item.end, item.place + 1
        if item.is_last:
            self._close(item.unit, item.place + 1)

    def finish(self, unit: int, images: int) -> None:
        """Take a whole tar shard into account; other units change nothing."""
        if unit in self._bytes:
            self._close(unit, images)

    def total(self) -> int | None:
        """All images, or None while there is nothing to estimate from."""
        unit, read, found = self._current
        here = unit in self._bytes
        all_read = self._read + (read if here else 0)
        all_found = self._found + (found if here else 0)
        if self.is_exact:
            return self._known
        if not all_read or not all(self._bytes.values()):
            return None
        left = sum(self._bytes.values()) - (read if here else 0)
        return self._known + (found if here else 0) + round(max(left, 0) * all_found / all_read)

    def _close(self, unit: int, images: int) -> None:
        self._read += self._bytes.pop(unit)
        self._found += images
        self._known += images
