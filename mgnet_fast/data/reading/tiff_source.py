"""Tiled TIFFs, with or without smaller levels, read tile by tile with tifffile."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from .colours import converted_array
from .levels import Level
from .options import ReadOptions
from .orientation import Box
from .tile_cache import TILES

_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
# Formats with parts that tifffile's plain levels do not describe, which OpenSlide knows.
_SLIDES = (".svs", ".ndpi", ".scn", ".bif", ".mrxs")
NEEDED = "pip install 'mgnet-fast[slides]'"


def open_tiff(path: Path, start: bytes, options: ReadOptions) -> TiffSource | None:
    """The source of a tiled TIFF; None for other files, or without tifffile."""
    if start[:4] not in _STARTS or path.suffix.lower() in _SLIDES:
        return None
    try:
        import tifffile
    except ImportError:
        return None
    file = tifffile.TiffFile(path)
    try:
        pages = [level.pages[0] for level in file.series[0].levels] if file.series else []
        if pages and all(_can_be_read(page) for page in pages):
            return TiffSource(path, file, pages, options)
    except Exception:
        file.close()
        raise
    file.close()
    return None


def _can_be_read(page: Any) -> bool:
    # Turned images are rare among tiled ones; Pillow reads them.
    tags = page.tags
    turned = "Orientation" in tags and tags["Orientation"].value not in (0, 1)
    plain = page.is_tiled and page.axes in ("YX", "YXS") and page.imagedepth == 1 and not turned
    return plain and _has_codec(page)


def _has_codec(page: Any) -> bool:
    """Whether tifffile can decompress the tiles; without imagecodecs it knows a few ways only."""
    import tifffile

    try:
        return page.compression == 1 or tifffile.TIFF.DECOMPRESSORS[page.compression] is not None
    except KeyError:
        return False


class TiffSource:
    """See :class:`Source`."""

    decodes_levels = False
    held_level = None

    def __init__(self, path: Path, file: Any, pages: list[Any], options: ReadOptions) -> None:
        first = pages[0]
        self.levels = [
            Level(
                page.imagelength, page.imagewidth,
                first.imagelength / page.imagelength, first.imagewidth / page.imagewidth,
            )
            for page in pages
        ]  # fmt: skip
        self._path, self._file, self._pages, self._options = path, file, pages, options
        self._lock = threading.Lock()
        self.bytes_read = 0

    @property
    def nbytes(self) -> int:
        return 0

    def read(self, level: int, box: Box) -> np.ndarray:
        page = self._pages[level]
        high, wide = page.tilelength, page.tilewidth
        out = np.empty(
            (box.bottom - box.top, box.right - box.left, self._options.channels), np.uint8
        )
        for row in range(box.top // high, -(-box.bottom // high)):
            for column in range(box.left // wide, -(-box.right // wide)):
                tile = TILES.get(
                    (self, level, row, column),
                    lambda r=row, c=column: self._tile(page, r, c),  # type: ignore[misc]
                )
                top, left = max(box.top, row * high), max(box.left, column * wide)
                bottom, right = (
                    min(box.bottom, (row + 1) * high),
                    min(box.right, (column + 1) * wide),
                )
                out[top - box.top : bottom - box.top, left - box.left : right - box.left] = tile[
                    top - row * high : bottom - row * high,
                    left - column * wide : right - column * wide,
                ]
        return out

    def close(self) -> None:
        TILES.drop(self)
        self._file.close()

    def _tile(self, page: Any, row: int, column: int) -> np.ndarray:
        across = -(-page.imagewidth // page.tilewidth)
        index = row * across + column
        with self._lock:
            if not self._path.exists():
                raise FileNotFoundError(2, "No such file or directory", str(self._path))
            handle = self._file.filehandle
            handle.seek(page.dataoffsets[index])
            data = handle.read(page.databytecounts[index])
            self.bytes_read += len(data)
        if len(data) != page.databytecounts[index]:
            raise ValueError(f"it ends within tile {row}, {column}")
        segment, _, shape = page.decode(data, index, jpegtables=page.jpegtables)
        full = np.zeros((page.tilelength, page.tilewidth, self._options.channels), np.uint8)
        if segment is not None:
            found = segment.reshape(shape)[0]
            found = converted_array(found, self._options.channels)
            full[: found.shape[0], : found.shape[1]] = found
        return full
