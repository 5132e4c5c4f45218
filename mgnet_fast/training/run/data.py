"""The data of a run, of any kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mgnet_fast.data import dataset_noise, find_mnist, load_dataset
from mgnet_fast.data.labelled_images import LabelledImages
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.training.distributed import Workers

LeftOut = dict[str, list[str]]  # unreadable images of each split


@dataclass(frozen=True)
class LoadedData:
    """Training and test images, ready for the trainer.

    Attributes:
        train, test: the images.
        left_out: the skipped images, for the snapshot.
        description: of the images, for the line printed before the run.
        evaluation_batch: batch size of the evaluation.
    """

    train: LabelledImages
    test: LabelledImages
    left_out: LeftOut
    description: str
    evaluation_batch: int = 500


class RunData(Protocol):
    """Data that is checked when constructed, and loaded once the network exists.

    Attributes:
        facts: plain values that must be equal when a run is resumed.
        model_options: fields of the network's config that follow from the data.
        header: for the checkpoint's metadata.
    """

    facts: dict[str, Any]
    model_options: dict[str, Any]
    header: dict[str, str]

    def load(
        self, network: GlimpseNetwork, workers: Workers, left_out: LeftOut | None, progress: bool
    ) -> LoadedData:
        """Training and test images for this network.

        Args:
            network: on its device.
            workers: this process among those that train together.
            left_out: the skipped images of the resumed run; None: find them.
            progress: show a bar meanwhile.

        Raises:
            ValueError: the images cannot be used.
        """
        ...


class MnistData:
    """Translated MNIST as a `RunData`.

    Raises:
        ValueError: the dataset is unknown or files are missing.
    """

    def __init__(
        self, dataset: str, data_dir: str | Path, noise_std: float | None, seed: int
    ) -> None:
        noise = dataset_noise(dataset, noise_std)
        find_mnist(data_dir)
        self.facts: dict[str, Any] = {"dataset": dataset, "noise_std": noise}
        self.model_options: dict[str, Any] = {}
        self.header: dict[str, str] = {}
        self._data_dir, self._seed = data_dir, seed

    def load(
        self, network: GlimpseNetwork, workers: Workers, left_out: LeftOut | None, progress: bool
    ) -> LoadedData:
        name, noise = self.facts["dataset"], self.facts["noise_std"]
        train = load_dataset(name, self._data_dir, "train", seed=self._seed, noise_std=noise)
        test = load_dataset(name, self._data_dir, "test", noise_std=noise)
        return LoadedData(train, test, {}, f"{len(train):,} scenes of {name}")
