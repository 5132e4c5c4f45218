"""Whole-slide images, read region by region with OpenSlide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .colours import as_array, converted
from .levels import Level
from .options import ReadOptions
from .orientation import Box
from .tiff_source import NEEDED

SUFFIXES = (".svs", ".ndpi", ".scn", ".bif", ".mrxs", ".vms", ".vmu")


def open_slide(path: Path, options: ReadOptions) -> SlideSource | None:
    """The source of a slide; None for other files.

    Raises:
        ValueError: a slide without the library, or one that it does not know.
    """
    is_slide = path.suffix.lower() in SUFFIXES
    if not is_slide and path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        import openslide
    except ImportError:
        if is_slide:
            raise ValueError(f"slides need OpenSlide: {NEEDED}") from None
        return None
    if openslide.OpenSlide.detect_format(str(path)) is None:
        if is_slide:
            raise ValueError("OpenSlide knows no format like this, or it is encrypted")
        return None
    return SlideSource(path, openslide.OpenSlide(str(path)), options)


class SlideSource:
    """See :class:`Source`."""

    decodes_levels = False
    held_level = None

    def __init__(self, path: Path, slide: Any, options: ReadOptions) -> None:
        width, height = slide.dimensions
        self.levels = [Level(h, w, height / h, width / w) for w, h in slide.level_dimensions]
        self._path, self._slide, self._options = path, slide, options

    @property
    def nbytes(self) -> int:
        return 0

    def read(self, level: int, box: Box) -> np.ndarray:
        if not self._path.exists():
            raise FileNotFoundError(2, "No such file or directory", str(self._path))
        at = self.levels[level]
        corner = round(box.left * at.factor_x), round(box.top * at.factor_y)
        size = box.right - box.left, box.bottom - box.top
        # Where nothing was scanned, slides are transparent; they are shown on white.
        seen = self._slide.read_region(corner, level, size)
        page = Image.new("RGBA", seen.size, "white")
        page.alpha_composite(seen)
        return as_array(converted(page, self._options.channels))

    def close(self) -> None:
        self._slide.close()
