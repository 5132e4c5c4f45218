"""URLs that fsspec opens: ``s3://bucket/folder``, ``https://...``, ``zip://*.png::photos.zip``."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, BinaryIO

from ..reading.errors import reasons

_MISSING = "URLs need fsspec: pip install 'mgnet-fast[bulk]'"


def is_url(name: str) -> bool:
    """Whether fsspec must open ``name``."""
    return "://" in name or "::" in name


def find(url: str, chosen: Callable[[list[str]], list[str]]) -> list[str]:
    """The files that a URL stands for: itself, those matching its pattern, or those of its folder
    that ``chosen`` takes (from their paths below it).

    Raises:
        ValueError: the protocol is unknown.
        ImportError: its library is not installed.
    """
    files, path = _opened(url)
    if any(mark in path for mark in "*?["):
        return [_full(url, files, each) for each in sorted(files.glob(path))]
    if files.isdir(path):
        root = path.rstrip("/")
        below = [each.removeprefix(root).lstrip("/") for each in sorted(files.find(path))]
        full = [f"{root}/{each}" if root else each for each in chosen(below)]
        return [_full(url, files, each) for each in full]
    return [url] if files.exists(path) else []


def read(url: str) -> bytes:
    """The bytes of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read.
    """
    with reasons(url):
        files, path = _opened(url)
        try:
            return bytes(files.cat_file(path))
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url) from None


def opened(url: str) -> AbstractContextManager[BinaryIO]:
    """A file to read from start to end, as a context manager."""
    files, path = _opened(url)
    return files.open(path, "rb")


def size(url: str) -> int | None:
    """Bytes of a file, None if the server does not tell.

    Raises:
        FileNotFoundError: there is no such file.
    """
    files, path = _opened(url)
    found = files.info(path).get("size")
    return None if found is None else int(found)


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    try:
        import fsspec
    except ImportError as error:
        raise ImportError(_MISSING) from error
    files, path = fsspec.url_to_fs(url)
    return files, str(path)


def _full(url: str, files: Any, path: str) -> str:
    """The URL of a path in the file system of ``url``."""
    first, chain, rest = url.partition("::")
    if not chain:
        return str(files.unstrip_protocol(path))
    return f"{first.partition('://')[0]}://{path}::{rest}"
