"""The images in tar files, such as the shards of webdataset."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ..image_files import SUFFIXES, is_hidden
from ..reading.errors import reasons
from . import urls


class Member(NamedTuple):
    """An image in a tar shard.

    Attributes:
        name: ``tar://PATH::SHARD``, which fsspec opens.
        data: the bytes of the file.
        end: bytes of the (decompressed) shard up to here.
        is_last: no image follows.
    """

    name: str
    data: bytes
    end: int
    is_last: bool


def members(shard: str, start: int = 0) -> Iterator[Member]:
    """The images of a shard from number ``start`` on, in order, read once from front to back.

    Every file with the suffix of an image is one, whatever lies beside it (``.cls``, ``.json``);
    hidden files are not.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no tar file, is damaged, has no image, or ends without the mark of its
            end. The images before come first.
    """
    held: Member | None = None
    number = 0
    try:
        with ExitStack() as stack:
            archive = _opened(shard, stack)
            while (info := _next_image(archive)) is not None:
                number += 1
                if number <= start:
                    continue
                following = _read(shard, archive, info)
                if held is not None:
                    yield held
                held = following
            _check_end(archive)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if held is not None:
            yield held
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{error} (after {number} images)") from error
    if number == 0:
        raise ValueError("there is no image in it")
    if held is not None:
        yield held._replace(is_last=True)


def check_shard(shard: str) -> int | None:
    """Check that a file is there and begins like a tar file; return its size in bytes, or None.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no tar file.
    """
    if urls.is_url(shard):
        return urls.size(shard)
    with reasons(shard), ExitStack() as stack:
        _opened(shard, stack)
        return os.stat(shard).st_size


def _opened(shard: str, stack: ExitStack) -> tarfile.TarFile:
    if not urls.is_url(shard) and Path(shard).suffix.lower() == ".tar":
        return stack.enter_context(tarfile.open(shard, "r:"))  # skips what is not wanted
    file = stack.enter_context(urls.opened(shard)) if urls.is_url(shard) else None
    return stack.enter_context(tarfile.open(shard, "r|*", fileobj=file))


def _next_image(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    while (info := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
        name = Path(info.name)
        if info.isfile() and name.suffix.lower() in SUFFIXES and not is_hidden(name.name):
            return info
    return None


def _read(shard: str, archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    file = archive.extractfile(info)
    assert file is not None  # it is a regular file
    data = file.read()
    if len(data) != info.size:
        raise ValueError(f"{info.name} ends too early")
    return Member(f"tar://{info.name}::{shard}", data, info.offset_data + info.size, False)


def _check_end(archive: tarfile.TarFile) -> None:
    """Refuse a file that was cut between two members, which tarfile takes for its end."""
    assert archive.fileobj is not None
    if archive.fileobj.tell() <= archive.offset:
        raise ValueError("the shard ends without the mark of its end: images may be missing")
