"""Digits that no download is needed for: ten drawn patterns, each a little different."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mgnet_fast.data import Digits, TranslatedMNIST
from mgnet_fast.models import MGNet, create_model
from mgnet_fast.training import Recipe


def draw_digits(count: int, seed: int) -> Digits:
    """uint8 digits: the pattern of a class is a block of 7x7 random bits, four pixels each."""
    patterns = torch.rand(10, 5, 5, generator=torch.Generator().manual_seed(99)) > 0.5
    large = patterns.repeat_interleave(4, 1).repeat_interleave(4, 2)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 10
    ink = torch.randint(150, 256, (count, 20, 20), generator=generator)
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, 4:24, 4:24] = (large[labels] * ink).to(torch.uint8)
    return Digits(images, labels)


def write_idx(path: Path, items: torch.Tensor) -> None:
    header = bytes([0, 0, 8, items.dim()])
    header += b"".join(side.to_bytes(4, "big") for side in items.shape)
    path.write_bytes(header + items.to(torch.uint8).numpy().tobytes())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def train_scenes() -> TranslatedMNIST:
    return TranslatedMNIST(draw_digits(100, 1), seed=0)


@pytest.fixture(scope="session")
def test_scenes() -> TranslatedMNIST:
    return TranslatedMNIST(draw_digits(30, 2), seed=7)


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like MNIST's: 100 training digits and 30 test digits."""
    folder = tmp_path_factory.mktemp("mnist")
    for prefix, digits in (("train", draw_digits(100, 1)), ("t10k", draw_digits(30, 2))):
        write_idx(folder / f"{prefix}-images-idx3-ubyte", digits.images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", digits.labels)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(epochs=3, batch_size=16, size_weight=1.0, average_decay=0.9)


@pytest.fixture
def new_model(recipe: Recipe) -> Callable[..., MGNet]:
    def new(seed: int = 0, **overrides: Any) -> MGNet:
        torch.manual_seed(seed)
        options: dict[str, Any] = {
            "alpha": recipe.alpha,
            "gradient_scale": recipe.gradient_scale,
            **overrides,
        }
        return create_model("mgnet_toy", **options)

    return new
