"""Test scenes as chosen on the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...data import TranslatedMNIST


class Dataset(StrEnum):
    """Scenes that can be made from MNIST's digits."""

    translated = "translated-mnist"
    noisy = "noisy-translated-mnist"


def fixed_scenes(data: Path | None, dataset: Dataset, noise_std: float | None) -> TranslatedMNIST:
    """The fixed test scenes of MNIST's test digits in ``data``, or of the shipped ones."""
    from ...assets import digit_paths
    from ...data import TEST_SEED, TranslatedMNIST, dataset_noise, load_dataset, read_digits

    if data is not None:
        return load_dataset(dataset.value, data, "test", noise_std=noise_std)
    noise = dataset_noise(dataset.value, noise_std)
    return TranslatedMNIST(read_digits(*digit_paths()), seed=TEST_SEED, noise_std=noise)
