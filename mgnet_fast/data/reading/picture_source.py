"""Formats that only decode whole: one level."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from .colours import as_array, converted
from .errors import truncated_images
from .levels import Level
from .options import ReadOptions
from .orientation import Box


class PictureSource:
    """See :class:`Source`; decoded by Pillow at the first look."""

    decodes_levels = True

    def __init__(self, file: Path | bytes, size: tuple[int, int], options: ReadOptions) -> None:
        self.levels = [Level(*size, 1, 1)]
        self._file: Path | bytes | None = file
        self._options = options
        self._pixels: np.ndarray | None = None

    @property
    def held_level(self) -> int | None:
        return None if self._pixels is None else 0

    @property
    def nbytes(self) -> int:
        return 0 if self._pixels is None else self._pixels.nbytes

    def read(self, level: int, box: Box) -> np.ndarray:
        if self._pixels is None:
            self._pixels = self._decoded()
            self._file = None
        return self._pixels[box.top : box.bottom, box.left : box.right]

    def close(self) -> None:
        self._file = self._pixels = None

    def _decoded(self) -> np.ndarray:
        if self._file is None:
            raise ValueError("it is closed")
        file = io.BytesIO(self._file) if isinstance(self._file, bytes) else self._file
        with Image.open(file) as image:
            if (image.height, image.width) != self.levels[0][:2]:
                raise ValueError(f"it has changed: {image.height} x {image.width} pixels now")
            with truncated_images(self._options.allow_truncated):
                image.load()
            return as_array(converted(image, self._options.channels))
