"""Finds and checks the MNIST digits in a folder of IDX files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mgnet_fast.data.digits.idx import read_idx

DIGIT_SIZE = 28
NUM_CLASSES = 10
_PREFIX = {"train": "train", "test": "t10k"}
_PARTS = ("images-idx3-ubyte", "labels-idx1-ubyte")


class Digits(NamedTuple):
    """Digits of one split: ``images`` uint8 [N, 28, 28], ``labels`` int64 [N] in 0..9."""

    images: Tensor
    labels: Tensor


def _candidates(stem: str) -> tuple[str, ...]:
    dotted = stem.replace("-idx", ".idx")
    return (stem, f"{stem}.gz", dotted, f"{dotted}.gz")


def find_mnist(
    data_dir: str | Path, splits: tuple[str, ...] = ("train", "test")
) -> dict[str, Path]:
    """Find MNIST's files in a folder by their standard names, plain or gzip.

    Args:
        data_dir: folder with ``train-images-idx3-ubyte[.gz]`` and so on.
        splits: the splits to find, of "train" and "test".

    Returns:
        ``{"train-images-idx3-ubyte": path, ...}``, two files per split.

    Raises:
        ValueError: the folder does not exist, a split is unknown, or files are missing (the
            message lists all of them).
    """
    data_dir = Path(data_dir)
    for split in splits:
        if split not in _PREFIX:
            raise ValueError(f"splits must be of {sorted(_PREFIX)}, got {split!r}")
    if not data_dir.is_dir():
        raise ValueError(
            f"data_dir must be a folder with the MNIST files, got {data_dir}, which does not exist"
        )
    found: dict[str, Path] = {}
    missing: list[str] = []
    for stem in [f"{_PREFIX[split]}-{part}" for split in splits for part in _PARTS]:
        path = next(
            (data_dir / name for name in _candidates(stem) if (data_dir / name).is_file()), None
        )
        if path is None:
            missing.append(f"{stem}[.gz]")
        else:
            found[stem] = path
    if missing:
        raise ValueError(f"data_dir {data_dir} lacks MNIST files: {', '.join(missing)}")
    return found


def read_digits(images: str | Path, labels: str | Path) -> Digits:
    """Read digits and labels from two IDX files and check that they belong together.

    Raises:
        ValueError: a file is damaged, has another shape or type, or holds labels outside 0..9, or
            the numbers of items differ.
    """
    pixels, classes = read_idx(images), read_idx(labels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (DIGIT_SIZE, DIGIT_SIZE):
        raise ValueError(
            f"{images}: wanted uint8 images of shape [N, {DIGIT_SIZE}, {DIGIT_SIZE}], "
            f"got {pixels.dtype} of shape {list(pixels.shape)}"
        )
    if classes.dtype != np.uint8 or classes.ndim != 1:
        raise ValueError(
            f"{labels}: wanted uint8 labels of shape [N], "
            f"got {classes.dtype} of shape {list(classes.shape)}"
        )
    if len(pixels) != len(classes):
        raise ValueError(
            f"{labels}: wanted {len(pixels)} labels, as {images} has, got {len(classes)}"
        )
    if len(classes) and int(classes.max()) >= NUM_CLASSES:
        raise ValueError(f"{labels}: wanted labels in 0..{NUM_CLASSES - 1}, got {classes.max()}")
    return Digits(torch.from_numpy(pixels), torch.from_numpy(classes.astype(np.int64)))


def load_mnist(data_dir: str | Path, split: str) -> Digits:
    """Read one split of MNIST from a folder ("train": 60,000 digits, "test": 10,000).

    Raises:
        ValueError: see `find_mnist` and `read_digits`.
    """
    files = find_mnist(data_dir, (split,))
    images, labels = (files[f"{_PREFIX[split]}-{part}"] for part in _PARTS)
    return read_digits(images, labels)
