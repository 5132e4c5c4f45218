"""Turns what a user names into the names of image files and tar shards."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from ..image_files import SUFFIXES, find_images, is_hidden
from . import urls

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


def find_sources(paths: Iterable[str], lists: Iterable[str] = ()) -> tuple[list[str], list[str]]:
    """The image files and tar shards that ``paths`` and ``lists`` stand for.

    A path is a file, a folder, a pattern, or the same as a URL. A folder stands for the image
    files in it and its subfolders, or, if it has none, for the tar shards there.

    Args:
        paths: as above.
        lists: text files with one file, tar shard or URL a line; "-" is standard input. What a
            list names need not exist.

    Returns:
        The names in order, and those of ``paths`` that stand for nothing.

    Raises:
        OSError: a list cannot be read.
        ValueError: a list is not UTF-8, or the protocol of a URL is unknown.
        ImportError: the library for the protocol of a URL is not installed.
    """
    found: list[str] = []
    missing: list[str] = []
    for path in paths:
        here = urls.find(path, is_listed) if urls.is_url(path) else _find_local(path)
        found.extend(here)
        if not here:
            missing.append(path)
    for name in lists:
        found.extend(_listed(name))
    return found, missing


def is_tar(name: str) -> bool:
    """Whether a name is that of a tar shard. ``tar://a.png::b.tar`` is the image in it."""
    return name.partition("::")[0].lower().endswith(TAR_SUFFIXES)


def is_listed(names: list[str]) -> list[str]:
    """Of the files of a folder, as paths below it: the image files, or else the tar shards."""
    shown = [name for name in names if not any(map(is_hidden, name.split("/")))]
    images = [name for name in shown if Path(name).suffix.lower() in SUFFIXES]
    return images or [name for name in shown if is_tar(name)]


def _find_local(path: str) -> list[str]:
    found, missing = find_images([path])
    if missing and Path(path).is_dir():
        inside = [each for each in sorted(Path(path).rglob("*")) if each.is_file()]
        below = [each.relative_to(path).as_posix() for each in inside]
        return [str(Path(path, each)) for each in is_listed(below)]
    return [str(each) for each in found]


def _listed(name: str) -> list[str]:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} must be a text file of paths in UTF-8 ({error.reason})") from None
    return [line for line in text.splitlines() if line.strip()]
