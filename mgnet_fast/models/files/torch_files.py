"""Reading files of ``torch.save`` without running anything they ask for."""

from __future__ import annotations

import argparse
import os
import pickle
from typing import Any

import torch


class _StandIn:
    """Takes the place of a class that a file names, and does nothing with what it is given."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_torch_file(path: str | os.PathLike[str]) -> Any:
    """The content of a file of ``torch.save``, on the CPU, read with ``weights_only=True``.

    Lightning keeps the classes of callbacks beside the weights. Such names are resolved to empty
    classes of our own, so that the weights can be read without Lightning and without its code.

    Raises:
        ValueError: the file is damaged, or holds objects that can only be read by running code.
    """
    try:
        with torch.serialization.safe_globals(_harmless_globals(path)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(f"checkpoint {path} cannot be read safely: {error}") from error


def _harmless_globals(path: str | os.PathLike[str]) -> list[Any]:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # the format before torch 1.6, which has no list of names
        names = []
    stand_ins = [
        (type(name.rpartition(".")[2], (_StandIn,), {}), name)
        for name in names
        if name != "argparse.Namespace"
    ]
    return [argparse.Namespace, *stand_ins]
