"""Finds image files."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

# fmt: off
SUFFIXES = frozenset((
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
    ".bif", ".mrxs", ".ndpi", ".scn", ".svs",  # slides
))
# fmt: on


def find_images(paths: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """The image files that ``paths`` stand for, and those of ``paths`` without any.

    A file stands for itself, whatever its suffix; a folder for all image files in it and its
    subfolders, sorted by name; anything else is a pattern (``*``, ``?``, ``[]``, ``**``). Folders
    and patterns skip hidden files and folders, whose names begin with a dot, such as macOS's
    ``._photo.jpg``.
    """
    found: list[Path] = []
    missing: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            here = [each for each in sorted(path.rglob("*")) if _is_image_below(path, each)]
        elif path.exists():
            here = [path]
        else:
            matches = map(Path, sorted(glob.glob(str(path), recursive=True)))
            here = [each for each in matches if each.is_file() and not is_hidden(each.name)]
        found.extend(here)
        if not here:
            missing.append(str(path))
    return found, missing


def is_hidden(name: str) -> bool:
    """Whether a file or folder with this name is hidden."""
    return name.startswith(".")


def _is_image_below(folder: Path, path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    return not any(is_hidden(part) for part in path.relative_to(folder).parts)
