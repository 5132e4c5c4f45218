"""Options of reading image files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from .option import choice, switch

if TYPE_CHECKING:
    from ...models import GlimpseNetwork

DecodeBy = Literal["auto", "lazy", "full"]
"""How much of a file is decoded."""

Decode = Annotated[
    DecodeBy,
    choice(
        "lazy: what is looked at, at the scale that suffices. full: every pixel first. auto: lazy "
        "for networks trained with --antialias."
    ),
]
IgnoreExif = Annotated[
    bool,
    switch("Leave photographs as they are stored, not turned by EXIF.", "--ignore-exif"),
]
AllowTruncated = Annotated[
    bool,
    switch("Take what is there of files that end too early.", "--allow-truncated"),
]


def is_lazy(decode: DecodeBy, model: GlimpseNetwork) -> bool:
    """Whether files are decoded as they are looked at.

    Raises:
        ValueError: "lazy" for a network whose glimpses depend on the size of the image.
    """
    from ...models.network import has_own_glimpse_size

    own_size = has_own_glimpse_size(model.config)
    if decode == "lazy" and not own_size:
        raise ValueError(
            "decode must be full for a network without a glimpse_size of its own, got lazy"
        )
    return own_size and (decode == "lazy" or (decode == "auto" and model.antialias))
