"""Reads the IDX format, in which MNIST is distributed."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

_GZIP_MAGIC = b"\x1f\x8b"
_ITEM_TYPES: dict[int, np.dtype] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{path}: wanted a whole gzip file, got one that is cut or damaged ({error})"
        ) from error


def read_idx(path: str | Path) -> npt.NDArray[np.generic]:
    """Read an IDX file, plain or gzip (recognised by content, not by name).

    The file holds two zero bytes, a type code, the number of dimensions, each dimension as a
    big-endian 32-bit integer, and the items in row-major order, big-endian.

    Args:
        path: the file.

    Returns:
        Array of the file's shape and item type, in native byte order, owning its memory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not IDX, is cut off, or has trailing bytes; the message names the
            file, what was wanted and what was found.
    """
    path = Path(path)
    content = _content(path)
    if len(content) < 4:
        raise ValueError(f"{path}: wanted a 4-byte IDX magic number, got {len(content)} bytes")
    if content[:2] != b"\x00\x00" or content[2] not in _ITEM_TYPES:
        known = ", ".join(f"0x{code:02x}" for code in _ITEM_TYPES)
        raise ValueError(
            f"{path}: wanted an IDX magic number (00 00, then a type of {known}), "
            f"got {content[:4].hex(' ')}"
        )
    item_type, ndim = _ITEM_TYPES[content[2]], content[3]
    header = 4 + 4 * ndim
    if ndim == 0 or len(content) < header:
        raise ValueError(
            f"{path}: wanted {max(ndim, 1)} dimensions in a header of {4 + 4 * max(ndim, 1)} "
            f"bytes, got {ndim} dimensions in {len(content)} bytes"
        )
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    wanted = header + math.prod(shape) * item_type.itemsize
    if len(content) != wanted:
        what = "is cut" if len(content) < wanted else "has trailing bytes"
        raise ValueError(
            f"{path}: wanted {wanted} bytes for shape {list(shape)}, got {len(content)}: "
            f"the file {what}"
        )
    items = np.frombuffer(content, dtype=item_type, offset=header).reshape(shape)
    return items.astype(item_type.newbyteorder("="), copy=True)
