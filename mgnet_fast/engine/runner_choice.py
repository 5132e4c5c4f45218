"""Which runners there are, and which one "auto" takes."""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..functional import FoldedFusion
from ..models import MGNet
from . import (
    backbone_structure,
    packed_backbone,
    packed_convolution,
    quantized_backbone,
    quantized_convolution,
)
from .calibration import activation_ranges
from .lower_precision import lowered
from .plain import PlainRunner
from .runner import Runner

RUNNERS = ("plain", "channels_last", "packed")
PRECISIONS = {  # of each runner
    "plain": ("fp32", "bf16", "fp16"),
    "channels_last": ("fp32", "bf16", "fp16"),
    "packed": ("fp32", "bf16", "fp16", "int8"),
}
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
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
    calibration: tuple[Tensor, ...] | None,
) -> ChosenRunner:
    """The runner called ``name``; for "auto" the one that is fastest in a trial of steps.

    Raises:
        ValueError: an unknown name, a precision that it does not run in, or an argument that
            none of the runners takes.
    """
    known = ("auto", *RUNNERS)
    if name not in known:
        raise ValueError(f"runner must be one of {', '.join(known)}, got {name!r}")
    precisions = tuple(dict.fromkeys(each for row in PRECISIONS.values() for each in row))
    if precision not in precisions:
        raise ValueError(f"precision must be one of {', '.join(precisions)}, got {precision!r}")
    if artefact is not None:
        raise ValueError(f"artefact must be None: no runner of {', '.join(known)} loads one")
    # Folded once, where the weights are: the products are in float64.
    folded = FoldedFusion.of(model.feat_fusion.mha, torch.float32)
    folded = FoldedFusion(*(part.to(device) for part in folded))
    refused = {each: _refusal(model, device, precision, each, calibration) for each in RUNNERS}
    if name != "auto":
        if refused[name] is not None:
            raise ValueError(f"runner {name!r} cannot run: {refused[name]}")
        runner = _runner(model, device, folded, name, precision, calibration)
        return ChosenRunner(runner, name, "asked for")
    candidates = [each for each in RUNNERS if refused[each] is None]
    if not candidates:
        reasons = "; ".join(f"{each}: {reason}" for each, reason in refused.items())
        raise ValueError(f"no runner can run in precision {precision!r} here: {reasons}")
    runners = {
        each: _runner(model, device, folded, each, precision, calibration) for each in candidates
    }
    rows = min(slots, _TRIAL_ROWS)
    seconds = _trial(list(runners.values()), rows)
    times = dict(zip(runners, seconds, strict=True))
    best = min(times, key=lambda each: times[each])
    measured = ", ".join(f"{each} {1e3 * times[each]:.2f} ms" for each in times)
    slot_word = "slot" if rows == 1 else "slots"
    reason = f"fastest of {measured} for a step of {rows} {slot_word} on {device}"
    if refused["packed"] is not None:
        reason += f"; packed cannot run: {refused['packed']}"
    return ChosenRunner(runners[best], best, reason)


def _refusal(
    model: MGNet,
    device: torch.device,
    precision: str,
    name: str,
    calibration: tuple[Tensor, ...] | None,
) -> str | None:
    if precision not in PRECISIONS[name]:
        return f"it runs in {', '.join(PRECISIONS[name])}, not in {precision}"
    if name != "packed":
        return None
    if device.type != "cpu":
        return f"it packs weights for oneDNN, which runs on the CPU, not on {device}"
    if not backbone_structure.is_known(model.backbone):
        return (
            "it knows the residual networks and the toy CNN of this package, not "
            f"{type(model.backbone).__name__}"
        )
    if precision == "int8":
        if calibration is None:
            return "int8 needs calibration=, image batches [B, C, H, W] to fit its integers to"
        return quantized_convolution.refusal()
    return packed_convolution.refusal(_DTYPES[precision])


def _runner(
    model: MGNet,
    device: torch.device,
    folded: FoldedFusion,
    name: str,
    precision: str,
    calibration: tuple[Tensor, ...] | None,
) -> PlainRunner:
    ready = copy.deepcopy(model).float().eval().to(device)
    if precision == "int8":
        ranges = activation_ranges(model, calibration or ())
        ready.backbone = quantized_backbone.quantize(ready.backbone, ranges)
        return PlainRunner(ready, folded, torch.channels_last)
    dtype = _DTYPES[precision]
    if name == "packed":
        ready.backbone = packed_backbone.pack(ready.backbone, dtype)
        return PlainRunner(ready, folded, torch.channels_last, dtype)
    layout = torch.channels_last if name == "channels_last" else torch.contiguous_format
    if dtype != torch.float32:
        ready.backbone = lowered(ready.backbone, dtype, layout)
        return PlainRunner(ready, folded, layout, dtype)
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
