"""Running a command as a user does, and the small files that commands need."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from mgnet_fast.assets import digit_paths
from mgnet_fast.cli import main
from mgnet_fast.data import read_digits
from mgnet_fast.models import create_model
from mgnet_fast.models.files.checkpoints import save_checkpoint


class Outcome(NamedTuple):
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``mgnet-fast`` with these words, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        code = stop.value.code
        assert isinstance(code, int)
        return Outcome(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy network that has learned nothing."""
    path = tmp_path_factory.mktemp("checkpoint") / "toy.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_checkpoint(create_model("mgnet_toy"), path)
    return path


@pytest.fixture(scope="session")
def mnist_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like MNIST's: 500 digits to train on and the same 500 to test on."""
    folder = tmp_path_factory.mktemp("mnist")
    for source, part in zip(digit_paths(), ("images-idx3", "labels-idx1"), strict=True):
        for split in ("train", "t10k"):
            shutil.copy(source, folder / f"{split}-{part}-ubyte.gz")
    return folder


@pytest.fixture(scope="session")
def shipped_labels() -> np.ndarray:
    """The labels of the shipped digits."""
    return read_digits(*digit_paths()).labels.numpy()


@pytest.fixture(scope="session")
def damaged_folder(mnist_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder with test images that end too early."""
    folder = tmp_path_factory.mktemp("damaged")
    for source in mnist_folder.iterdir():
        shutil.copy(source, folder)
    images = folder / "t10k-images-idx3-ubyte.gz"
    images.write_bytes(gzip.compress(gzip.decompress(images.read_bytes())[:-100], mtime=0))
    return folder
