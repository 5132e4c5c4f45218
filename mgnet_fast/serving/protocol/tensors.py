"""Tensors in a request or response."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import BAD_REQUEST, RequestError
from .messages import BINARY_SIZE, InputTensor

DTYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("u1"),
    "INT64": np.dtype("<i8"),
    "FP32": np.dtype("<f4"),
}
BYTES = "BYTES"
_LENGTH_BYTES = 4  # before each element of a BYTES tensor, little-endian


class Tensor(NamedTuple):
    """A named array; the elements of BYTES are a list."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: np.ndarray | list[bytes]


def binary_size(described: InputTensor) -> int | None:
    """Bytes of an input in the binary part; None if its data is in the JSON.

    Raises:
        RequestError: both are given, or neither, or the size is no number of bytes.
    """
    size = described.parameters.get(BINARY_SIZE)
    if (size is None) == (described.data is None):
        raise _wrong(described, f"must have either data or the parameter {BINARY_SIZE}")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _wrong(described, f"must have a {BINARY_SIZE} of 0 or more, got {size!r}")
    return size


def read_tensor(described: InputTensor, raw: memoryview | None) -> Tensor:
    """An input of datatype UINT8, INT64, FP32 or BYTES; ``raw`` is its binary part.

    Raises:
        RequestError: the data does not fit datatype and shape.
    """
    name, datatype, shape = described.name, described.datatype, tuple(described.shape)
    count = math.prod(shape)
    if datatype == BYTES:
        if raw is None:
            raise _wrong(described, "of datatype BYTES must come as binary data, not in the JSON")
        elements = _elements(described, raw)
        if len(elements) != count:
            raise _wrong(
                described, f"of shape {list(shape)} needs {count} elements, got {len(elements)}"
            )
        return Tensor(name, datatype, shape, elements)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise _wrong(described, f"must be one of {', '.join((*DTYPES, BYTES))}, got {datatype!r}")
    if raw is None:
        values = _from_json(described, dtype)
    elif len(raw) != count * dtype.itemsize:
        raise _wrong(
            described,
            f"of shape {list(shape)} and datatype {datatype} needs {count * dtype.itemsize} bytes, "
            f"got {len(raw)}",
        )
    else:
        values = np.frombuffer(raw, dtype)
    if values.size != count:
        raise _wrong(described, f"of shape {list(shape)} needs {count} numbers, got {values.size}")
    return Tensor(name, datatype, shape, values.reshape(shape))


def _from_json(described: InputTensor, dtype: np.dtype[Any]) -> np.ndarray:
    try:
        values = np.asarray(described.data)
    except ValueError:
        raise _wrong(described, "has lists of different lengths in its data") from None
    kinds = "iu" if dtype.kind in "iu" else "iuf"
    if values.size and values.dtype.kind not in kinds:
        raise _wrong(described, f"of datatype {described.datatype} must hold numbers of that kind")
    if values.size and dtype == np.uint8 and (values.min() < 0 or values.max() > 255):
        raise _wrong(described, "of datatype UINT8 must hold numbers from 0 to 255")
    return values.astype(dtype)


def _elements(described: InputTensor, raw: memoryview) -> list[bytes]:
    found, position = [], 0
    while position < len(raw):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(raw[position:start], "little")
        if start > len(raw) or position > len(raw):
            raise _wrong(described, "is cut off: an element ends after its binary data")
        found.append(bytes(raw[start:position]))
    return found


def to_bytes(values: np.ndarray | Sequence[bytes]) -> bytes:
    """The binary form of an output."""
    if isinstance(values, np.ndarray):
        return values.tobytes()
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "little") + each for each in values)


def to_json(values: np.ndarray | Sequence[bytes]) -> list[Any]:
    """The flat list of an output's elements."""
    if isinstance(values, np.ndarray):
        flat: list[Any] = values.ravel().tolist()
        return flat
    return [each.decode("utf-8") for each in values]


def _wrong(described: InputTensor, sentence: str) -> RequestError:
    return RequestError(BAD_REQUEST, f"input {described.name!r} {sentence}")
