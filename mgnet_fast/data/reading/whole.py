"""Reads image files whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from .colours import as_array, converted
from .errors import reasons, truncated_images
from .jpeg import decoded_jpeg, is_jpeg
from .options import ReadOptions
from .orientation import AS_STORED, Orientation, orientation_of


def read_image(path: str | Path, options: ReadOptions, *, data: bytes | None = None) -> np.ndarray:
    """The pixels of an image file, uint8 [H, W, channels]; ``data`` are its bytes, if at hand.

    The first of several frames counts. Colours: see ``reading/colours.py``. Photographs are turned
    as their EXIF orientation says, unless the options ignore it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, or is damaged.
    """
    decoded, turn = _decoded(path, options, data)
    return turn.displayed(decoded if isinstance(decoded, np.ndarray) else as_array(decoded))


def read_picture(path: str | Path, options: ReadOptions) -> Image.Image:
    """The same as a Pillow image in mode "L", "RGB" or "RGBA".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, or is damaged.
    """
    decoded, turn = _decoded(path, options)
    if isinstance(decoded, Image.Image) and turn == AS_STORED:
        return decoded  # for small files, the way to an array and back takes as long as decoding
    pixels = turn.displayed(decoded if isinstance(decoded, np.ndarray) else as_array(decoded))
    if options.channels == 1:
        pixels = pixels[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(pixels))


def _decoded(
    path: str | Path, options: ReadOptions, given: bytes | None = None
) -> tuple[np.ndarray | Image.Image, Orientation]:
    with (
        reasons(str(path)),
        open(path, "rb") if given is None else io.BytesIO(given) as file,
    ):
        start = file.read(3)
        data = start + file.read() if is_jpeg(start) else None
        file.seek(0)
        with Image.open(file if data is None else io.BytesIO(data)) as image:
            turn = AS_STORED if options.ignore_exif else orientation_of(image)
            if data is not None and image.format == "JPEG":
                return decoded_jpeg(data, image, 1, options), turn
            with truncated_images(options.allow_truncated):
                image.load()  # converting to the same mode would not decode it
            return converted(image, options.channels), turn


def check_image(path: str | Path) -> None:
    """Find damage by the cheapest decoding; a JPEG is not transformed to pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, or is damaged.
    """
    with reasons(str(path)), Image.open(path) as image:
        image.draft("L", (1, 1))
        image.load()
