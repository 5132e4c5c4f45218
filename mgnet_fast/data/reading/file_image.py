"""An image in a file, of which only what is looked at is decoded."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from .errors import MOST_PIXELS, reasons
from .jpeg import is_jpeg
from .jpeg_source import JpegSource
from .levels import Piece, Source, View, chosen_level, four_numbers, piece_of
from .options import ReadOptions
from .orientation import AS_STORED, Box, Orientation, orientation_of
from .picture_source import PictureSource
from .slide_source import open_slide
from .tiff_source import open_tiff
from .window_source import WindowSource

Opened = str | os.PathLike[str] | bytes | BinaryIO


class FileImage:
    """An image that is decoded as it is looked at; :func:`open_image` makes it.

    ``Engine.stream`` takes it beside tensors and arrays. Its glimpses come from the coarsest scale
    of the file that still has a pixel per sample: scaled decoding of JPEGs, levels and tiles of
    pyramids; other formats are decoded whole at the first look.

    Attributes:
        name: the path, or what stands for it in messages.
        height, width: in pixels, as displayed.
        channels: of the pixels.
        error: why it cannot be read any more, or None. Its glimpses are NaN then.
        reading_seconds: spent in reading and decoding pieces so far.
    """

    def __init__(
        self, name: str, source: Source, options: ReadOptions, turn: Orientation = AS_STORED
    ) -> None:
        self.name, self.channels = name, options.channels
        self.height, self.width = turn.size(source.levels[0].height, source.levels[0].width)
        self.error: str | None = None
        self.reading_seconds = 0.0
        self._source, self._turn = source, turn

    @property
    def nbytes(self) -> int:
        """Bytes in memory now."""
        return self._source.nbytes

    @property
    def bytes_read(self) -> int:
        """Compressed bytes read so far, as far as the reader counts them: those of tiles."""
        return int(getattr(self._source, "bytes_read", 0))

    @property
    def scales(self) -> tuple[float, ...]:
        """Pixels of the image per pixel of each scale that the file can be read at."""
        return tuple(level.factor_x for level in self._source.levels)

    def pixels(self) -> np.ndarray:
        """The whole image, uint8 [H, W, C].

        Raises:
            FileNotFoundError: the file has vanished.
            ValueError: it is damaged, or too large to be decoded whole.
        """
        self._check_size(0)
        level = self._source.levels[0]
        return self._turn.displayed(self._read(0, Box(0, 0, level.width, level.height)))

    def window(self, left: int, top: int, width: int, height: int) -> FileImage:
        """A rectangle of the image as an image of its own, of the scales at which it has whole
        pixels. Closing it leaves the file open.

        Raises:
            ValueError: it is not within the image.
        """
        box = Box(left, top, left + width, top + height)
        if not (0 <= left < box.right <= self.width and 0 <= top < box.bottom <= self.height):
            raise ValueError(
                f"a window must lie within the {self.height} x {self.width} pixels, got "
                f"{tuple(box)}"
            )
        stored = self._turn.stored_box(box, self.height, self.width)
        name = f"{self.name} at ({left}, {top})"
        options = ReadOptions(self.channels)
        return FileImage(name, WindowSource(self._source, stored), options, self._turn)

    def piece(self, region: Sequence[float], size: tuple[int, int]) -> Piece:
        """What a glimpse of ``size`` at ``region`` needs, from the scale that suits it.

        Args:
            region: (s, x, y) or (s_x, s_y, x, y), see :func:`mgnet_fast.glimpse`.
            size: height and width of the glimpse.

        Returns:
            The pixels, and the region of them that shows the same.

        Raises:
            FileNotFoundError: the file has vanished.
            ValueError: it is damaged.
        """
        view = _view(region, size)
        number = self._level(view)
        start = time.perf_counter()
        with reasons(self.name):
            piece = piece_of(self._source, number, view, self._turn)
        self.reading_seconds += time.perf_counter() - start
        return piece

    def shrunk(self, region: Sequence[float], size: tuple[int, int]) -> np.ndarray:
        """The whole image at the scale that suits glimpses of ``size`` at ``region``,
        uint8 [h, w, C].

        Raises:
            FileNotFoundError, ValueError: as :meth:`piece`.
        """
        number = self._level(_view(region, size))
        level = self._source.levels[number]
        return self._turn.displayed(self._read(number, Box(0, 0, level.width, level.height)))

    def prepare(self, region: Sequence[float], size: tuple[int, int]) -> None:
        """Decode now what looks at ``region`` or larger ones will need, where that is decoded at
        once. An error waits in ``error``."""
        number = self._level(_view(region, size))
        if not self._source.decodes_levels:
            return
        try:
            self._read(number, Box(0, 0, 1, 1))
        except (ValueError, OSError) as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Give the image up, for this reason."""
        self.error = getattr(error, "strerror", None) or str(error)
        self.close()

    def close(self) -> None:
        """Release file and memory; the image can be read no more."""
        self._source.close()

    def __repr__(self) -> str:
        return f"FileImage({self.name!r}, {self.height} x {self.width}, {self.channels} channels)"

    def _level(self, view: View) -> int:
        # Levels are as stored; an image that is turned by a right angle has its axes exchanged.
        if self._turn.transposed:
            view = View(view.scale_y, view.scale_x, view.y, view.x, view.width, view.height)
        number = chosen_level(self._source, view)
        held = self._source.held_level
        if held is not None and held <= number:
            return held
        while self._source.decodes_levels and number + 1 < len(self._source.levels):
            level = self._source.levels[number]
            if level.height * level.width <= MOST_PIXELS:
                break
            number += 1
        return number

    def _check_size(self, number: int) -> None:
        level = self._source.levels[number]
        if level.height * level.width > MOST_PIXELS:
            raise ValueError(
                f"it has {level.height} x {level.width} pixels, more than the {MOST_PIXELS:,} that "
                "are decoded at once"
            )

    def _read(self, number: int, box: Box) -> np.ndarray:
        self._check_size(number)
        with reasons(self.name):
            return self._source.read(number, box)


def open_image(
    file: Opened,
    channels: int = 3,
    *,
    ignore_exif: bool = False,
    allow_truncated: bool = False,
) -> FileImage:
    """Open an image file; its header is read, its pixels as they are looked at.

    Args:
        file: a path, the bytes of a file, or a binary file object, which is read whole.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA); what becomes of other colours is written in
            ``mgnet_fast/data/reading/colours.py``.
        ignore_exif, allow_truncated: see :class:`ReadOptions`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, has a size that cannot be, or needs a library that is not
            installed, which is named.
    """
    options = ReadOptions(channels, ignore_exif, allow_truncated)
    if isinstance(file, (str, os.PathLike)):
        return open_file(Path(file), options)
    data = file if isinstance(file, bytes) else file.read()
    name = getattr(file, "name", None)
    return open_data(data, str(name) if name else f"an image of {len(data):,} bytes", options)


def open_file(path: Path, options: ReadOptions) -> FileImage:
    """:func:`open_image` of a path, with the options in one piece."""
    name = str(path)
    with reasons(name):
        with path.open("rb") as file:
            start = file.read(16)
        if is_jpeg(start):
            return open_data(path.read_bytes(), name, options)
        tiled = open_tiff(path, start, options) or open_slide(path, options)
        if tiled is not None:
            return FileImage(name, tiled, options)
        with Image.open(path) as image:
            turn = AS_STORED if options.ignore_exif else orientation_of(image)
            size = image.height, image.width
        return FileImage(name, PictureSource(path, size, options), options, turn)


def open_data(data: bytes, name: str, options: ReadOptions) -> FileImage:
    """:func:`open_image` of the bytes of a file, with its name for messages."""
    with reasons(name), Image.open(io.BytesIO(data)) as image:
        turn = AS_STORED if options.ignore_exif else orientation_of(image)
        size = image.height, image.width
        if image.format == "JPEG":
            return FileImage(name, JpegSource(data, size, options), options, turn)
        return FileImage(name, PictureSource(data, size, options), options, turn)


def _view(region: Sequence[float], size: tuple[int, int]) -> View:
    return View(*four_numbers(region), *size)
