"""Reads files of ``torch.save`` without running code from them."""

from __future__ import annotations

import argparse
import os
import pickle
from typing import Any

import torch


class _StandIn:
    """Replaces a class that a file names; ignores its data."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_torch_file(path: str | os.PathLike[str]) -> Any:
    """Reads a file of ``torch.save`` onto the CPU with ``weights_only=True``.

    Lightning stores objects of callbacks beside the weights. Empty classes take their place, so
    neither Lightning nor its code is needed.

    Raises:
        ValueError: the file is damaged, or has objects that only running code could restore.
    """
    try:
        with torch.serialization.safe_globals(_harmless_globals(path)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"checkpoint {path} cannot be read safely: {error}") from error


def _harmless_globals(path: str | os.PathLike[str]) -> list[Any]:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # the format before torch 1.6 has no list of names
        names = []
    stand_ins = [
        (type(name.rpartition(".")[2], (_StandIn,), {}), name)
        for name in names
        if name != "argparse.Namespace"
    ]
    return [argparse.Namespace, *stand_ins]
