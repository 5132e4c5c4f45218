"""Imports TensorRT or TensorRT-RTX and collects their errors.

Both have the same API as far as this package uses it, so a module object stands for either.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import torch

FULL, RTX = "tensorrt", "tensorrt_rtx"
INSTALL = {
    FULL: "pip install tensorrt (with the CUDA version of your torch, such as tensorrt-cu13)",
    RTX: "pip install tensorrt_rtx",
}
TITLES = {FULL: "TensorRT", RTX: "TensorRT-RTX"}
NO_DEVICE = "there is no CUDA device here (torch.cuda.is_available() is False)"


def is_installed(name: str) -> bool:
    """Whether the module exists; it is not imported."""
    return importlib.util.find_spec(name) is not None


def import_library(name: str) -> Any:
    """The module ``tensorrt`` or ``tensorrt_rtx``.

    Raises:
        ImportError: it is not installed, or its libraries cannot be loaded.
    """
    if not is_installed(name):
        raise ImportError(f"{TITLES[name]} is not installed: {INSTALL[name]}")
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        raise ImportError(
            f"{TITLES[name]} is installed but cannot be loaded ({error}): {INSTALL[name]}"
        ) from error


def no_device() -> str | None:
    """Why nothing can run on a GPU, or None."""
    return None if torch.cuda.is_available() else NO_DEVICE


def collecting_logger(library: Any) -> Any:
    """A logger that keeps errors in ``errors`` for the exception that follows."""

    class Collecting(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (library.ILogger.ERROR, library.ILogger.INTERNAL_ERROR):
                self.errors.append(message.strip().splitlines()[0])

    return Collecting()


def first_error(logger: Any) -> str:
    """The first collected error, or a note that there was none."""
    return logger.errors[0] if logger.errors else "it gave no reason"
