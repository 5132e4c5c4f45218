"""Decodes JPEG files, at full size or at 1/2, 1/4 or 1/8 of it, by libjpeg-turbo.

Scaled decoding skips most of the work behind the entropy decoding. The library simplejpeg is used
where it is installed (``pip install 'mgnet-fast[jpeg]'``): at full size it takes a third of the
time of Pillow, for the same pixels. Pillow does it otherwise, and for CMYK.
"""

from __future__ import annotations

import io
from functools import cache
from types import ModuleType

import numpy as np
from PIL import Image

from .colours import as_array, converted
from .errors import truncated_images
from .options import ReadOptions

SCALES = (1, 2, 4, 8)


@cache
def _simplejpeg() -> ModuleType | None:
    try:
        import simplejpeg
    except ImportError:
        return None
    found: ModuleType = simplejpeg
    return found


def is_jpeg(start: bytes) -> bool:
    """Whether a file that begins so is a JPEG."""
    return start[:3] == b"\xff\xd8\xff"


def scaled_size(height: int, width: int, scale: int) -> tuple[int, int]:
    """The size of a decoded image at 1/scale."""
    return -(-height // scale), -(-width // scale)


def decode_jpeg(data: bytes, scale: int, options: ReadOptions) -> np.ndarray:
    """The pixels of a JPEG at 1/scale, uint8 [H, W, channels], as stored.

    Raises:
        Exception: of many types, if it is damaged; see ``reading/errors.py``.
    """
    with Image.open(io.BytesIO(data)) as image:
        decoded = decoded_jpeg(data, image, scale, options)
        return decoded if isinstance(decoded, np.ndarray) else as_array(decoded)


def decoded_jpeg(
    data: bytes, image: Image.Image, scale: int, options: ReadOptions
) -> np.ndarray | Image.Image:
    """The same, given the opened file, in the form in which the decoder gives it."""
    height, width = scaled_size(image.height, image.width, scale)
    library = _simplejpeg()
    space = {"RGB": "RGB", "L": "GRAY"}.get(image.mode)
    if library is None or space is None:
        if scale > 1:  # Pillow takes the scale that gives at least this size
            image.draft(None, (image.width // scale, image.height // scale))
        with truncated_images(options.allow_truncated):
            image.load()
        return converted(image, options.channels)
    pixels: np.ndarray = library.decode_jpeg(
        data,
        "GRAY" if options.channels == 1 and space == "GRAY" else "RGB",
        min_height=height,
        min_width=width,
        min_factor=1,
        strict=not options.allow_truncated,
    )
    if pixels.shape[:2] != (height, width):
        raise ValueError(f"it decodes to {pixels.shape[:2]} pixels instead of its size")
    if pixels.shape[2] == options.channels:
        return pixels
    grey = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return converted(Image.fromarray(grey), options.channels)
