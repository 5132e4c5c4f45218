"""The choice of test scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ...data import TranslatedMNIST


Dataset = Literal[
    "translated-mnist",
    "noisy-translated-mnist",
    "translated-mnist-32",
    "cluttered-mnist-32",
    "padded-mnist-32",
    "cluttered-mnist-448",
]
"""The kinds of scenes made from MNIST's digits."""


def fixed_scenes(data: Path | None, dataset: Dataset, noise_std: float | None) -> TranslatedMNIST:
    """The fixed test scenes, of MNIST's digits in ``data`` or of the shipped ones."""
    from ...assets import digit_paths
    from ...data import TEST_SEED, TranslatedMNIST, load_dataset, read_digits, scene_options

    if data is not None:
        return load_dataset(dataset, data, "test", noise_std=noise_std)
    digits = read_digits(*digit_paths())
    return TranslatedMNIST(digits, seed=TEST_SEED, **scene_options(dataset, noise_std))
