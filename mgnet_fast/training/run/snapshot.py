"""The state of a training run on disk: written atomically, resumed bit for bit."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

FORMAT = 1
FILE_NAME = "training.pt"


def write_snapshot(folder: Path, state: dict[str, Any]) -> Path:
    """Replace the run's snapshot; an interruption leaves the old one or the new one."""
    path = folder / FILE_NAME
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    return path


def read_snapshot(folder: Path) -> dict[str, Any]:
    """The run's snapshot, on the CPU.

    Raises:
        ValueError: there is none, it is damaged, or it is of another format.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        raise ValueError(
            f"out must hold a run to resume, got {folder} without {FILE_NAME}, "
            "which the first finished epoch writes"
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: wanted a training snapshot, got a damaged file") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        got = state.get("format") if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{path}: wanted a training snapshot of format {FORMAT}, got {got}")
    return state
