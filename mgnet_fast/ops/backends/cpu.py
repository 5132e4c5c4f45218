"""The native CPU backend: the C++ kernels, on as many threads as torch uses."""

from __future__ import annotations

import torch
from torch import Tensor

from . import native


def why_not(device: str) -> str | None:
    """Why this backend cannot serve tensors on ``device``, or None where it can."""
    if device != "cpu":
        return "it serves CPU tensors only"
    return native.reason if native.extension is None else None


def describe() -> str:
    """The extension in a line: the instruction sets that run here, or what is wrong."""
    extension = native.extension
    if extension is None:
        return f"NOT IN USE, glimpses run in plain PyTorch: {native.reason}"
    others = [name for name in extension.available_isas() if name != extension.selected_isa()]
    openmp = "OpenMP" if extension.openmp else "one thread only, built without OpenMP"
    return f"{extension.selected_isa()} in use (also {', '.join(others) or 'none'}), {openmp}"


class Launcher(native.Launcher):
    def queue(self, image: Tensor) -> tuple[int, ...]:
        return (torch.get_num_threads(),)


LAUNCHER = Launcher("")
