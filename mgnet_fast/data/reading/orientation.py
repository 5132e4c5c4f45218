"""The orientation of a photograph: how its stored pixels are turned for display."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image


class Orientation(NamedTuple):
    """Displayed pixels are the stored ones, first transposed, then mirrored.

    Attributes:
        transposed: rows and columns are exchanged.
        mirrored_x, mirrored_y: columns, rows are in the reverse order afterwards.
    """

    transposed: bool = False
    mirrored_x: bool = False
    mirrored_y: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the displayed image, and of the stored one given the displayed."""
        return (width, height) if self.transposed else (height, width)

    def stored_box(self, box: Box, height: int, width: int) -> Box:
        """The stored pixels of a box of the displayed image of this height and width."""
        left, top, right, bottom = box
        if self.mirrored_x:
            left, right = width - right, width - left
        if self.mirrored_y:
            top, bottom = height - bottom, height - top
        return Box(top, left, bottom, right) if self.transposed else Box(left, top, right, bottom)

    def displayed(self, pixels: np.ndarray) -> np.ndarray:
        """Stored pixels [h, w, ...] as they are displayed; a view."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        return pixels[:: -1 if self.mirrored_y else 1, :: -1 if self.mirrored_x else 1]


class Box(NamedTuple):
    """Pixels left..right - 1 and top..bottom - 1."""

    left: int
    top: int
    right: int
    bottom: int


AS_STORED = Orientation()
# The values of EXIF's tag 274.
_OF_EXIF = {
    2: Orientation(mirrored_x=True),
    3: Orientation(mirrored_x=True, mirrored_y=True),
    4: Orientation(mirrored_y=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, mirrored_x=True),
    7: Orientation(transposed=True, mirrored_x=True, mirrored_y=True),
    8: Orientation(transposed=True, mirrored_y=True),
}


def orientation_of(image: Image.Image) -> Orientation:
    """The orientation that the EXIF data of a Pillow image asks for; as stored without any.

    Damaged EXIF data is no data: it does not make an image unreadable. In a PNG only data before
    the pixels count, as finding others would decode it. TIFFs have a tag of their own, and Pillow
    turns them as they are decoded.
    """
    if image.format == "TIFF" or "exif" not in image.info:
        return AS_STORED
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow raises many types on damaged data
        return AS_STORED
    return _OF_EXIF.get(value, AS_STORED) if isinstance(value, int) else AS_STORED
