"""Decoded tiles of slides, up to a number of bytes, the least recently used ones dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np

CACHE_BYTES = 64 << 20


class TileCache:
    """Arrays by key; one for all files of a process, used by several threads."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, read: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of this key, read if it is not there."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
                return found
        made = read()
        with self._lock:
            if key not in self._held and made.nbytes <= self._limit:
                self._held[key] = made
                self._bytes += made.nbytes
            while self._bytes > self._limit:
                self._bytes -= self._held.popitem(last=False)[1].nbytes
        return made

    def drop(self, owner: object) -> None:
        """Forget the arrays whose keys begin with ``owner``."""
        with self._lock:
            for key in [key for key in self._held if isinstance(key, tuple) and key[0] is owner]:
                self._bytes -= self._held.pop(key).nbytes


TILES = TileCache()
