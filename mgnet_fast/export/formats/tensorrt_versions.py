"""The matching versions of torch_tensorrt, TensorRT and torch, and their features."""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple

import torch

from ...engine.artefacts.tensorrt_library import NO_DEVICE, is_installed, no_device


class Pair(NamedTuple):
    """A release of torch_tensorrt and the TensorRT it was built for.

    ``plugins``: whether a registered op can be a plugin of its engines.
    """

    torch_tensorrt: str
    tensorrt: str
    plugins: bool


# A release of torch_tensorrt needs the torch release of the same number.
PAIRS = (
    Pair("2.11.0", "10.15.1", plugins=False),
    Pair("2.12.1", "10.16.1", plugins=True),
    Pair("2.13.0", "11.0", plugins=True),
    Pair("2.14.0", "11.1", plugins=True),
)
_TENSORRT_NAMES = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")


def check_torch_tensorrt() -> Pair:
    """The installed pair, found without importing torch_tensorrt, which needs a GPU.

    Raises:
        ImportError: torch_tensorrt or TensorRT is not installed.
        RuntimeError: there is no GPU.
        ValueError: the versions do not match.
    """
    if not is_installed("torch_tensorrt"):
        wanted = next(
            (pair for pair in PAIRS if _same(pair.torch_tensorrt, torch.__version__)), None
        )
        release = f"=={wanted.torch_tensorrt}" if wanted else ""
        raise ImportError(
            f"torch_tensorrt is not installed: pip install torch_tensorrt{release}, "
            f"beside torch {torch.__version__}"
        )
    if no_device():
        raise RuntimeError(
            f"torch_tensorrt cannot be imported without a GPU, and {NO_DEVICE}: "
            "take export --format onnx or tensorrt-rtx here"
        )
    found = _version("torch_tensorrt", "torch-tensorrt")
    beside = _version(*_TENSORRT_NAMES)
    return checked_pair(found or "unknown", beside, torch.__version__)


def checked_pair(torch_tensorrt: str, tensorrt: str | None, torch_version: str) -> Pair:
    """The pair with these versions.

    Raises:
        ImportError: TensorRT is missing.
        ValueError: the versions do not match, or the release is unknown.
    """
    pair = next((each for each in PAIRS if _same(each.torch_tensorrt, torch_tensorrt)), None)
    if pair is None:
        known = ", ".join(each.torch_tensorrt for each in PAIRS)
        raise ValueError(f"torch_tensorrt must be one of {known}, got {torch_tensorrt}")
    if not _same(torch_version, pair.torch_tensorrt):
        release = ".".join(pair.torch_tensorrt.split(".")[:2])
        raise ValueError(
            f"torch_tensorrt {torch_tensorrt} goes with torch {release}, got {torch_version}: "
            f"pip install 'torch=={release}.*'"
        )
    remedy = f"pip install 'tensorrt=={'.'.join(pair.tensorrt.split('.')[:2])}.*'"
    if tensorrt is None:
        raise ImportError(
            f"torch_tensorrt {torch_tensorrt} needs TensorRT {pair.tensorrt}, which is not "
            f"installed: {remedy}"
        )
    if not _same(tensorrt, pair.tensorrt):
        raise ValueError(
            f"torch_tensorrt {torch_tensorrt} goes with TensorRT {pair.tensorrt}, got {tensorrt}: "
            f"{remedy}"
        )
    return pair


def _same(first: str, second: str) -> bool:
    """Whether two versions have the same first two numbers."""
    return first.split("+")[0].split(".")[:2] == second.split("+")[0].split(".")[:2]


def _version(*names: str) -> str | None:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
