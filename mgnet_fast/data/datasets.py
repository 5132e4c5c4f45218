"""Datasets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mgnet_fast.data.digits.translated_mnist import (
    NOISE_STD,
    TranslatedMNIST,
    load_translated_mnist,
)
from mgnet_fast.data.folders.image_tree import is_image_tree
from mgnet_fast.data.image_files import is_hidden

DATASETS: dict[str, float] = {"translated-mnist": 0.0, "noisy-translated-mnist": NOISE_STD}


def told_dataset(data_dir: str | Path) -> Literal["folder", "translated-mnist"]:
    """The kind of data in a folder: "folder" for folders of images, else "translated-mnist".

    Raises:
        ValueError: it is neither.
    """
    data_dir = Path(data_dir)
    if is_image_tree(data_dir):
        return "folder"
    if data_dir.is_dir() and not any(
        "ubyte" in path.name and not is_hidden(path.name) for path in data_dir.iterdir()
    ):
        raise ValueError(
            "data_dir must hold MNIST's four *-ubyte files, or train/ and val/ with one folder per "
            f"class, got {data_dir} with neither"
        )
    return "translated-mnist"


def dataset_noise(dataset: str, noise_std: float | None = None) -> float:
    """``noise_std``, or the noise of the dataset if it is None.

    Raises:
        ValueError: the name is unknown.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}")
    return DATASETS[dataset] if noise_std is None else noise_std


def load_dataset(
    dataset: str,
    data_dir: str | Path,
    split: str,
    *,
    seed: int | None = None,
    noise_std: float | None = None,
) -> TranslatedMNIST:
    """One split of a dataset.

    Args:
        dataset: "translated-mnist" or "noisy-translated-mnist" (noise 0.3).
        data_dir: folder with MNIST's IDX files.
        split: "train" or "test".
        seed: default: 0 for "train", that of the fixed test set for "test".
        noise_std: replaces the dataset's noise.

    Raises:
        ValueError: the name is unknown, files are missing or damaged, or a number is out of range.
    """
    noise = dataset_noise(dataset, noise_std)
    return load_translated_mnist(data_dir, split, seed=seed, noise_std=noise)
