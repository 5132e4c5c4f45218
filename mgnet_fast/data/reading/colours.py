"""The one place that decides how the colours of a file become channels of 8 bits.

| in the file | becomes |
|---|---|
| grey, RGB, palettes, CMYK, YCbCr, LAB | the wanted channels, by Pillow's ``convert`` |
| transparency | dropped, not blended; opaque where four channels are wanted and there is none |
| 16-bit grey (and 32-bit integer grey) | its high byte: value // 256, clipped to 0..65535 first |
| 16-bit colour | its high byte |
"""

from __future__ import annotations

import numpy as np
from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def mode_of(channels: int) -> str:
    """Pillow's mode for so many channels.

    Raises:
        ValueError: it is not 1, 3 or 4.
    """
    mode = MODES.get(channels)
    if mode is None:
        raise ValueError(f"channels must be 1, 3 or 4 to read image files, got {channels}")
    return mode


def converted(image: Image.Image, channels: int) -> Image.Image:
    """A decoded Pillow image in mode "L", "RGB" or "RGBA"."""
    mode = mode_of(channels)
    if image.mode == "I" or image.mode.startswith("I;16"):
        high = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
        return Image.fromarray(high.astype(np.uint8)).convert(mode)
    return image.convert(mode)


def converted_array(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels [h, w] or [h, w, c] of 8 or 16 bits as uint8 [h, w, channels]."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must have 8 or 16 bits, got {pixels.dtype}")
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        pixels = pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] == channels:
        return pixels
    if pixels.ndim == 2 and channels == 1:
        return pixels[:, :, None]
    if pixels.ndim == 3:
        pixels = pixels[:, :, :4]
    return as_array(converted(Image.fromarray(np.ascontiguousarray(pixels)), channels))


def as_array(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, C]."""
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
