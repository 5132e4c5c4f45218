"""Evaluation on a dataset by name."""

from __future__ import annotations

from pathlib import Path

import torch

from mgnet_fast.data import load_dataset
from mgnet_fast.evaluation.accuracy import Accuracy, evaluate
from mgnet_fast.models import MGNet


def evaluate_dataset(
    model: MGNet,
    *,
    data_dir: str | Path,
    dataset: str = "translated-mnist",
    noise_std: float | None = None,
    seed: int | None = None,
    num_glimpses: int | None = None,
    batch_size: int = 500,
    device: str = "cpu",
    threads: int | None = None,
) -> Accuracy:
    """Accuracy after each glimpse on a dataset's 10,000 test scenes.

    Args:
        model: moved to `device`.
        data_dir: folder with MNIST's IDX files (only those of the test split are needed).
        dataset: "translated-mnist" or "noisy-translated-mnist".
        noise_std: in place of the dataset's.
        seed: of other test scenes; default is the fixed test set.
        num_glimpses: T, default the model's own.
        batch_size: scenes at a time.
        device: "cpu", "cuda" or "cuda:N".
        threads: of PyTorch while this runs; None leaves them.

    Raises:
        ValueError: an argument or a data file is not what it must be.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    scenes = load_dataset(dataset, data_dir, "test", seed=seed, noise_std=noise_std)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        return evaluate(
            model, scenes, batch_size=batch_size, num_glimpses=num_glimpses, device=device
        )
    finally:
        torch.set_num_threads(before)
