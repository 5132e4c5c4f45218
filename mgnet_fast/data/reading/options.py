"""How files are read."""

from __future__ import annotations

from dataclasses import dataclass

from .colours import mode_of


@dataclass(frozen=True)
class ReadOptions:
    """How image files become pixels.

    Attributes:
        channels: 1 (grey), 3 (RGB) or 4 (RGBA); see ``reading/colours.py``.
        ignore_exif: leave photographs as they are stored, as torchvision and plain Pillow do,
            instead of turning them as their EXIF orientation says.
        allow_truncated: take the readable part of a file that ends too early, the rest grey
            or black, instead of an error.

    Raises:
        ValueError: ``channels`` is another number.
    """

    channels: int = 3
    ignore_exif: bool = False
    allow_truncated: bool = False

    def __post_init__(self) -> None:
        mode_of(self.channels)
