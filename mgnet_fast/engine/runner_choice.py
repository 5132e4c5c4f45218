"""Which runners there are, and which one "auto" takes."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..functional import FoldedFusion
from ..models import MGNet
from . import backbone_structure, packed_backbone, packed_convolution
from .plain import PlainRunner
from .runner import Runner

RUNNERS = ("plain", "channels_last", "packed")
PRECISIONS = ("fp32",)
_TRIAL_ROWS = 8  # a trial takes no more slots than this
_TRIAL_SECONDS = 0.2


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
    """The runner called ``name``; for "auto" the one that is fastest in a trial of steps.

    Raises:
        ValueError: an unknown name, a precision that it does not run in, or an argument that
            none of the runners takes.
    """
    known = ("auto", *RUNNERS)
    if name not in known:
        raise ValueError(f"runner must be one of {', '.join(known)}, got {name!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if artefact is not None:
        raise ValueError(f"artefact must be None: no runner of {', '.join(known)} loads one")
    if calibration is not None:
        raise ValueError("calibration must be None: precision fp32 needs none")
    # Folded once, where the weights are: the products are in float64.
    folded = FoldedFusion.of(model.feat_fusion.mha, torch.float32)
    folded = FoldedFusion(*(part.to(device) for part in folded))
    refused = _why_not_packed(model, device)
    if name != "auto":
        if name == "packed" and refused is not None:
            raise ValueError(f"runner 'packed' cannot run: {refused}")
        return ChosenRunner(_runner(model, device, folded, name), name, "asked for")
    candidates = [each for each in RUNNERS if each != "packed" or refused is None]
    runners = {each: _runner(model, device, folded, each) for each in candidates}
    rows = min(slots, _TRIAL_ROWS)
    seconds = _trial(list(runners.values()), rows)
    times = dict(zip(runners, seconds, strict=True))
    best = min(times, key=lambda each: times[each])
    measured = ", ".join(f"{each} {1e3 * times[each]:.2f} ms" for each in times)
    slot_word = "slot" if rows == 1 else "slots"
    reason = f"fastest of {measured} for a step of {rows} {slot_word} on {device}"
    return ChosenRunner(runners[best], best, reason)


def _why_not_packed(model: MGNet, device: torch.device) -> str | None:
    if device.type != "cpu":
        return f"it packs weights for oneDNN, which runs on the CPU, not on {device}"
    if not backbone_structure.is_known(model.backbone):
        return (
            "it knows the residual networks and the toy CNN of this package, not "
            f"{type(model.backbone).__name__}"
        )
    return packed_convolution.refusal()


def _runner(model: MGNet, device: torch.device, folded: FoldedFusion, name: str) -> PlainRunner:
    ready = copy.deepcopy(model).float().eval().to(device)
    if name == "packed":
        ready.backbone = packed_backbone.pack(ready.backbone)
        return PlainRunner(ready, folded, torch.channels_last)
    layout = torch.channels_last if name == "channels_last" else torch.contiguous_format
    ready.backbone.to(memory_format=layout)  # type: ignore[call-overload]
    return PlainRunner(ready, folded)


def _trial(runners: list[PlainRunner], rows: int) -> list[float]:
    """Median seconds of a step of each, measured in turn."""
    steps = [_TrialStep(runner, rows) for runner in runners]
    for step in steps:
        step.seconds()  # warms up
    taken: list[list[float]] = []
    end = time.perf_counter() + _TRIAL_SECONDS
    while time.perf_counter() < end or not taken:
        taken.append([step.seconds() for step in steps])
    return [statistics.median(column) for column in zip(*taken, strict=True)]


class _TrialStep:
    """A first step on images of the glimpses' size, or of 224 pixels where they have none."""

    def __init__(self, runner: PlainRunner, rows: int) -> None:
        config, device = runner.config, runner.device
        height, width = config.glimpse_shape((224, 224))
        with torch.inference_mode(False):
            self._images = torch.zeros(rows, config.in_chans, height, width, device=device)
            self._region = runner.initial_regions(rows)
            self._tokens = runner.new_tokens(rows)
            self._length = torch.ones(rows, dtype=torch.int64, device=device)
        self._runner = runner

    def seconds(self) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            self._runner.step(self._images, self._region, self._tokens, self._length)
            if self._runner.device.type == "cuda":
                torch.cuda.synchronize(self._runner.device)
        return time.perf_counter() - start
