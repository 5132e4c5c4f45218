"""Finding MNIST's files and checking that they belong together."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from mgnet_fast.data import find_mnist, load_mnist, read_digits

IMAGES = np.arange(3 * 28 * 28, dtype=np.int64).reshape(3, 28, 28) % 251
LABELS = np.array([7, 0, 9])


def write(path: Path, items: np.ndarray) -> None:
    header = bytes([0, 0, 8, items.ndim])
    header += b"".join(side.to_bytes(4, "big") for side in items.shape)
    content = header + items.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(folder: Path, suffix: str = ".gz") -> None:
    for prefix in ("train", "t10k"):
        write(folder / f"{prefix}-images-idx3-ubyte{suffix}", IMAGES)
        write(folder / f"{prefix}-labels-idx1-ubyte{suffix}", LABELS)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_loads_both_splits(tmp_path: Path, suffix: str) -> None:
    write_mnist(tmp_path, suffix)
    for split in ("train", "test"):
        digits = load_mnist(tmp_path, split)
        assert digits.images.dtype == torch.uint8
        assert digits.labels.tolist() == [7, 0, 9]
        np.testing.assert_array_equal(digits.images.numpy(), IMAGES)


def test_accepts_names_with_a_dot(tmp_path: Path) -> None:
    write(tmp_path / "t10k-images.idx3-ubyte", IMAGES)
    write(tmp_path / "t10k-labels.idx1-ubyte", LABELS)
    assert len(load_mnist(tmp_path, "test").labels) == 3


def test_lists_everything_that_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "t10k-images-idx3-ubyte", IMAGES)
    with pytest.raises(ValueError, match="lacks MNIST files") as error:
        find_mnist(tmp_path)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-labels-idx1"):
        assert name in str(error.value)
    assert "t10k-images" not in str(error.value)


def test_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="data_dir must be a folder"):
        find_mnist(tmp_path / "nowhere")


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="splits must be of"):
        find_mnist(tmp_path, ("validation",))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:, :27], LABELS, r"wanted uint8 images of shape \[N, 28, 28\]"),
        (LABELS, LABELS, r"images.*got uint8 of shape \[3\]"),
        (IMAGES, IMAGES, r"wanted uint8 labels of shape \[N\]"),
        (IMAGES, LABELS[:2], "wanted 3 labels.*got 2"),
        (IMAGES, LABELS + 1, "wanted labels in 0..9, got 10"),
    ],
)
def test_refuses_files_that_do_not_fit(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    write(tmp_path / "images", images)
    write(tmp_path / "labels", labels)
    with pytest.raises(ValueError, match=message):
        read_digits(tmp_path / "images", tmp_path / "labels")
