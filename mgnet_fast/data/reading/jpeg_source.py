"""A JPEG: levels at 1, 1/2, 1/4 and 1/8, each decoded whole."""

from __future__ import annotations

import numpy as np

from .jpeg import SCALES, decode_jpeg, scaled_size
from .levels import Level
from .options import ReadOptions
from .orientation import Box


class JpegSource:
    """See :class:`Source`. It keeps the compressed bytes, so changes of the file do not matter, and
    the finest level that was needed so far."""

    decodes_levels = True

    def __init__(self, data: bytes, size: tuple[int, int], options: ReadOptions) -> None:
        self.levels = [Level(*scaled_size(*size, scale), scale, scale) for scale in SCALES]
        self._data, self._options = data, options
        self._held: tuple[int, np.ndarray] | None = None

    @property
    def held_level(self) -> int | None:
        return None if self._held is None else self._held[0]

    @property
    def nbytes(self) -> int:
        return len(self._data) + (0 if self._held is None else self._held[1].nbytes)

    def read(self, level: int, box: Box) -> np.ndarray:
        if self._held is None or self._held[0] != level:
            self._held = level, decode_jpeg(self._data, SCALES[level], self._options)
        return self._held[1][box.top : box.bottom, box.left : box.right]

    def close(self) -> None:
        self._data, self._held = b"", None
