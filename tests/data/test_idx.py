"""The IDX reader: what it reads, and what it refuses."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from mgnet_fast.data import read_idx


def idx_bytes(items: np.ndarray, code: int) -> bytes:
    header = bytes([0, 0, code, items.ndim])
    header += b"".join(side.to_bytes(4, "big") for side in items.shape)
    return header + items.astype(items.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_plain_and_gzip_by_content(
    tmp_path: Path, pixels: np.ndarray, compressed: bool
) -> None:
    content = idx_bytes(pixels, 0x08)
    path = tmp_path / "any-name"
    path.write_bytes(gzip.compress(content) if compressed else content)
    read = read_idx(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)
    read[0] = 0  # owns its memory


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")],
)
def test_item_types_come_out_in_native_order(tmp_path: Path, code: int, dtype: str) -> None:
    items = np.array([[1, 2, 3], [4, 5, 100]], dtype=dtype)
    path = tmp_path / "items"
    path.write_bytes(idx_bytes(items, code))
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, items)


def test_empty_array(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8), 0x08))
    assert read_idx(path).shape == (0, 28, 28)


def damaged(content: bytes) -> dict[str, tuple[bytes, str]]:
    return {
        "nothing": (b"", "4-byte IDX magic number, got 0 bytes"),
        "other format": (b"\x89PNG" + content, "got 89 50 4e 47"),
        "unknown type": (b"\x00\x00\x07\x01" + content[4:], "got 00 00 07 01"),
        "no dimensions": (b"\x00\x00\x08\x00", "got 0 dimensions"),
        "cut header": (content[:9], "in 9 bytes"),
        "cut items": (content[:-1], "wanted 76 bytes for shape [5, 4, 3], got 75: the file is cut"),
        "trailing bytes": (content + b"x", "got 77: the file has trailing bytes"),
        "cut gzip": (gzip.compress(content)[:-12], "whole gzip file"),
        "damaged gzip": (gzip.compress(content)[:10] + b"\xff" * 30, "whole gzip file"),
    }


@pytest.mark.parametrize("damage", list(damaged(b"")))
def test_refuses_damaged_files(tmp_path: Path, pixels: np.ndarray, damage: str) -> None:
    content, message = damaged(idx_bytes(pixels, 0x08))[damage]
    path = tmp_path / "digits.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"digits\.gz: wanted") as error:
        read_idx(path)
    assert message in str(error.value)


def test_header_promising_more_than_memory_is_refused_without_allocating(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(b"\x00\x00\x0e\x03" + b"\xff\xff\xff\xff" * 3)
    with pytest.raises(ValueError, match="the file is cut"):
        read_idx(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nowhere")
