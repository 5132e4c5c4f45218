"""Reads images in a separate thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

WAITING_BYTES = 1 << 28  # of images read but not yet taken


class Source(Generic[Item]):
    """Items of an iterable, read in the calling thread."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items: Iterator[Item] = iter(items)

    def is_ready(self) -> bool:
        """Whether :meth:`take` returns without waiting for another thread."""
        return True

    def take(self) -> Item:
        """The next item.

        Raises:
            StopIteration: there are no more.
        """
        return next(self._items)

    def close(self) -> None:
        """Stop: nothing more will be taken."""


class ReadAhead(Source[Item]):
    """Items of an iterable, read in advance by a thread.

    The thread pauses while ``limit`` items, or items of ``WAITING_BYTES`` by their ``nbytes``, are
    waiting. An exception of the iterable is raised where its item would have been taken. The thread
    ends with the iterable, or, after :meth:`close`, once the iterable returns the current item.

    Raises:
        ValueError: ``limit`` is below 1.
    """

    def __init__(self, items: Iterable[Item], limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        super().__init__(items)
        self._limit = limit
        self._read: deque[Item] = deque()
        self._end: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        # A daemon, so that an iterable that blocks cannot keep the program alive.
        self._thread = threading.Thread(target=self._run, name="mgnet-fast-reader", daemon=True)
        self._thread.start()

    def is_ready(self) -> bool:
        return bool(self._read) or self._end is not None

    def take(self) -> Item:
        with self._changed:
            while not self._read:
                if self._end is not None:
                    raise self._end
                self._changed.wait()
            item = self._read.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._read.clear()
            self._changed.notify_all()

    def _is_full(self) -> bool:
        waiting = sum(getattr(item, "nbytes", 0) for item in self._read)
        return len(self._read) >= self._limit or waiting >= WAITING_BYTES

    def _run(self) -> None:
        end: BaseException = StopIteration()
        try:
            for item in self._items:
                with self._changed:
                    self._changed.wait_for(lambda: not self._is_full() or self._closed)
                    if self._closed:
                        return
                    self._read.append(item)
                    self._changed.notify_all()
        except BaseException as error:  # passed on to the thread that takes the items
            end = error
        finally:
            with self._changed:
                self._end = end
                self._changed.notify_all()
