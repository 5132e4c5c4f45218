"""Datasets by name."""

from __future__ import annotations

from pathlib import Path

from mgnet_fast.data.translated_mnist import NOISE_STD, TranslatedMNIST, load_translated_mnist

DATASETS: dict[str, float] = {"translated-mnist": 0.0, "noisy-translated-mnist": NOISE_STD}


def dataset_noise(dataset: str, noise_std: float | None = None) -> float:
    """The noise of a dataset, or `noise_std` in its place.

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
        dataset: "translated-mnist" or "noisy-translated-mnist" (noise of .3).
        data_dir: folder with MNIST's IDX files.
        split: "train" or "test".
        seed: default 0 for "train"; for "test" that of the fixed test set.
        noise_std: in place of the dataset's.

    Raises:
        ValueError: the name is unknown, files are missing or damaged, or a number is out of range.
    """
    noise = dataset_noise(dataset, noise_std)
    return load_translated_mnist(data_dir, split, seed=seed, noise_std=noise)
