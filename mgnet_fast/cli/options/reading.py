"""Options of reading image files."""

from __future__ import annotations

from typing import Annotated, Literal

from .option import choice, switch

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
