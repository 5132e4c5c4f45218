"""Reads image files whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .colours import as_array, converted
from .errors import reasons, truncated_images
from .jpeg import decode_jpeg
from .options import ReadOptions
from .orientation import AS_STORED, orientation_of


def read_image(path: str | Path, options: ReadOptions) -> np.ndarray:
    """The pixels of an image file, uint8 [H, W, channels].

    The first of several frames counts. Colours: see ``reading/colours.py``. Photographs are turned
    as their EXIF orientation says, unless the options ignore it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, or is damaged.
    """
    with reasons(str(path)), Image.open(path) as image:
        turn = AS_STORED if options.ignore_exif else orientation_of(image)
        if image.format == "JPEG":
            pixels = decode_jpeg(Path(path).read_bytes(), 1, options)
        else:
            with truncated_images(options.allow_truncated):
                image.load()  # converting to the same mode would not decode it
            pixels = as_array(converted(image, options.channels))
        return turn.displayed(pixels)


def read_picture(path: str | Path, options: ReadOptions) -> Image.Image:
    """The same as a Pillow image in mode "L", "RGB" or "RGBA".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, or is damaged.
    """
    pixels = read_image(path, options)
    return Image.fromarray(
        np.ascontiguousarray(pixels[:, :, 0] if options.channels == 1 else pixels)
    )


def check_image(path: str | Path) -> None:
    """Find damage by the cheapest decoding; a JPEG is not transformed to pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, or is damaged.
    """
    with reasons(str(path)), Image.open(path) as image:
        image.draft("L", (1, 1))
        image.load()
