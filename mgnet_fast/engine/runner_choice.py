"""Which runners there are, and which one "auto" takes."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..models import MGNet
from .plain import PlainRunner
from .runner import Runner

RUNNERS = ("plain",)
PRECISIONS = ("fp32",)


@dataclass(frozen=True)
class ChosenRunner:
    """A runner, what it is called, and why it was taken."""

    runner: Runner
    name: str
    reason: str


def choose_runner(
    model: MGNet,
    device: torch.device,
    precision: str,
    slots: int,
    name: str,
    artefact: str | Path | None,
    calibration: Iterable[Tensor] | None,
) -> ChosenRunner:
    """The runner called ``name``, or the one to take for "auto".

    Raises:
        ValueError: an unknown name, or a precision that it does not run in.
    """
    known = ("auto", *RUNNERS)
    if name not in known:
        raise ValueError(f"runner must be one of {', '.join(known)}, got {name!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if artefact is not None:
        raise ValueError(f"artefact must be None: no runner of {', '.join(known)} loads one")
    ready = copy.deepcopy(model).float().eval().to(device)
    reason = "asked for" if name != "auto" else "the only runner there is"
    return ChosenRunner(PlainRunner(ready), "plain", reason)
