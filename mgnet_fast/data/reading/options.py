"""How files are read."""

from __future__ import annotations

from dataclasses import dataclass

from ...models import GlimpseNetwork
from ...models.network import has_own_glimpse_size
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


def is_lazy(decode: str, model: GlimpseNetwork) -> bool:
    """Whether files are decoded as they are looked at.

    Args:
        decode: "lazy"; "full", every pixel first; or "auto", lazy for networks that antialias.
        model: the network that looks.

    Raises:
        ValueError: "lazy" for a network whose glimpses depend on the size of the image, or another
            word.
    """
    if decode not in ("auto", "lazy", "full"):
        raise ValueError(f"decode must be auto, lazy or full, got {decode!r}")
    own_size = has_own_glimpse_size(model.config)
    if decode == "lazy" and not own_size:
        raise ValueError(
            "decode must be full for a network without a glimpse_size of its own, got lazy"
        )
    return own_size and (decode == "lazy" or (decode == "auto" and model.antialias))
