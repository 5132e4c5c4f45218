"""Datasets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from mgnet_fast.data.digits.translated_mnist import (
    NOISE_STD,
    TranslatedMNIST,
    load_translated_mnist,
)
from mgnet_fast.data.folders.image_tree import is_image_tree
from mgnet_fast.data.image_files import is_hidden

_SMALL = {"scene_size": 32, "digit_size": 20}
DATASETS: dict[str, dict[str, Any]] = {
    "translated-mnist": {},
    "noisy-translated-mnist": {"noise_std": NOISE_STD},
    "translated-mnist-32": _SMALL,
    "cluttered-mnist-32": {**_SMALL, "clutter": 4, "clutter_size": 7},
    "padded-mnist-32": {"scene_size": 32},
    "cluttered-mnist-448": {"scene_size": 448, "clutter": 12, "clutter_size": 8},
}
"""Options of :class:`TranslatedMNIST` by the name of the dataset."""


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
    noise: float = scene_options(dataset, noise_std)["noise_std"]
    return noise


def scene_options(dataset: str, noise_std: float | None = None) -> dict[str, Any]:
    """Options of :class:`TranslatedMNIST` for a dataset; ``noise_std`` replaces its noise.

    Raises:
        ValueError: the name is unknown.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}")
    options = {"noise_std": 0.0, **DATASETS[dataset]}
    return options if noise_std is None else options | {"noise_std": noise_std}


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
        dataset: a name of ``DATASETS``: digits of 28 pixels in scenes of 112, without noise
            ("translated-mnist") or with noise 0.3 ("noisy-translated-mnist"); in scenes of 32,
            digits of 20 pixels, alone ("translated-mnist-32") or among four pieces of 7x7
            pixels of other digits ("cluttered-mnist-32"), or of 28 ("padded-mnist-32"); in scenes
            of 448, digits of 28 pixels among twelve pieces of 8x8 ("cluttered-mnist-448").
        data_dir: folder with MNIST's IDX files.
        split: "train" or "test".
        seed: default: 0 for "train", that of the fixed test set for "test".
        noise_std: replaces the dataset's noise.

    Raises:
        ValueError: the name is unknown, files are missing or damaged, or a number is out of range.
    """
    options = scene_options(dataset, noise_std)
    return load_translated_mnist(data_dir, split, seed=seed, **options)
