"""The list of runners, and the choice of "auto"."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..deviation import Deviation, measure_deviation
from ..libraries.library import CannotRun
from .compiled import COMPILED
from .cudagraph import CUDAGRAPH
from .eager import CHANNELS_LAST, EAGER
from .kind import RunnerKind, RunnerRequest
from .onnxruntime import ONNXRUNTIME
from .openvino import OPENVINO
from .packed import PACKED
from .runner import Runner
from .tensorrt import TENSORRT
from .trial import median_step_seconds

KINDS: tuple[RunnerKind, ...] = (
    EAGER,
    CHANNELS_LAST,
    PACKED,
    COMPILED,
    OPENVINO,
    ONNXRUNTIME,
    CUDAGRAPH,
    TENSORRT,
)
RUNNERS = tuple(kind.name for kind in KINDS)
PRECISIONS = tuple(dict.fromkeys(name for kind in KINDS for name in kind.precisions))
STORAGES = tuple(dict.fromkeys(name for kind in KINDS for name in kind.storages))
_TRIAL_ROWS = 8  # a trial uses at most this many slots


@dataclass(frozen=True)
class ChosenRunner:
    """A runner, its name and numbers, and why it was chosen.

    ``deviation`` is that of the runner if it had to be measured for the choice.
    """

    runner: Runner
    name: str
    reason: str
    precision: str
    weights: str
    deviation: Deviation | None = None


def choose_runner(request: RunnerRequest, name: str) -> ChosenRunner:
    """The runner called ``name``, or, for "auto", the fastest one in a trial.

    Raises:
        ValueError: the name is unknown, the runner does not support the precision or cannot run
            here, or an artefact is missing or unexpected.
    """
    if request.precision not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(PRECISIONS)}, got {request.precision!r}"
        )
    if request.weights not in STORAGES:
        raise ValueError(f"weights must be one of {', '.join(STORAGES)}, got {request.weights!r}")
    if request.weights != "fp32" and request.precision != "fp32":
        raise ValueError(
            f"weights {request.weights!r} go with precision 'fp32', which is that of the "
            f"arithmetic, got {request.precision!r}"
        )
    if request.tolerance is not None:
        _check_tolerance(request, request.tolerance, name)
    if name == "auto":
        return _fastest(request)
    kind = next((kind for kind in KINDS if kind.name == name), None)
    if kind is None:
        raise ValueError(f"runner must be one of {', '.join(('auto', *RUNNERS))}, got {name!r}")
    found = _built(kind, request)
    if isinstance(found, str):
        raise ValueError(f"runner {name!r} cannot run: {found}")
    return ChosenRunner(found, name, "asked for", request.precision, request.weights)


def _check_tolerance(request: RunnerRequest, tolerance: float, name: str) -> None:
    if not (isinstance(tolerance, (int, float)) and math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(
            "tolerance must be a positive number, the largest difference of logits in units of "
            f"the largest logit, got {tolerance!r}"
        )
    if name != "auto":
        raise ValueError(f"tolerance is for runner 'auto', which chooses by it, got {name!r}")
    if (request.precision, request.weights) != ("fp32", "fp32"):
        raise ValueError(
            "tolerance chooses precision and weights itself, so both must be 'fp32', got "
            f"{request.precision!r} and {request.weights!r}"
        )
    if request.calibration is None:
        raise ValueError("tolerance needs calibration: batches of images [B, C, H, W]")


def _built(kind: RunnerKind, request: RunnerRequest) -> Runner | str:
    """The runner, or why it cannot run."""
    refused = _refusal(kind, request)
    if refused is not None:
        return refused
    try:
        return kind.build(request)
    except CannotRun as error:
        return str(error)


def _refusal(kind: RunnerKind, request: RunnerRequest) -> str | None:
    if request.precision not in kind.precisions:
        able = [other.name for other in KINDS if request.precision in other.precisions]
        return (
            f"it runs in {', '.join(kind.precisions)}, not in {request.precision} "
            f"(which {', '.join(able)} can)"
        )
    if request.weights not in kind.storages:
        able = [other.name for other in KINDS if request.weights in other.storages]
        return f"it stores weights in fp32, not in {request.weights} (which {', '.join(able)} can)"
    if kind.takes_artefact == "never" and request.artefact is not None:
        return f"it loads no artefact, got {request.artefact}"
    takes_any_network = kind.takes_any_network and request.artefact is None
    if not (takes_any_network or request.model.fused_step is not None):
        able = [other.name for other in KINDS if other.takes_any_network]
        return (
            f"it runs networks with MGNet's fused step, which {type(request.model).__name__} "
            f"does not have ({', '.join(able)} run any network)"
        )
    if kind.takes_artefact == "always" and request.artefact is None:
        return "it loads a step written by mgnet-fast export; give its path as artefact"
    return kind.refusal(request)


def _fastest(request: RunnerRequest) -> ChosenRunner:
    if request.artefact is not None:
        loading = " or ".join(repr(kind.name) for kind in KINDS if kind.takes_artefact != "never")
        raise ValueError(f"runner must be {loading} for an artefact, got 'auto'")
    found = {each: _built(each.kind, each.request) for each in _variants(request)}
    refusals = {each.name: why for each, why in found.items() if isinstance(why, str)}
    runners = {each: runner for each, runner in found.items() if not isinstance(runner, str)}
    if not runners:
        reasons = "; ".join(f"{name}: {why}" for name, why in refusals.items())
        raise ValueError(f"runner 'auto' finds none that can run: {reasons}")
    rows = min(request.slots, _TRIAL_ROWS)
    times = dict(zip(runners, median_step_seconds(list(runners.values()), rows), strict=True))
    by_speed = sorted(times, key=lambda each: times[each])
    measured = ", ".join(f"{each.name} {1e3 * times[each]:.2f} ms" for each in times)
    slot_word = "slot" if rows == 1 else "slots"
    reason = f"fastest of {measured} for a step of {rows} {slot_word} on {request.device}"
    for name, why in refusals.items():
        reason += f"; {name} cannot run: {why}"
    for each in by_speed:
        deviation = each.deviation(runners[each])
        if deviation is not None and not deviation.logit_max <= (request.tolerance or 0.0):
            reason += f"; {each.name} is off by {deviation.logit_max:.2g}"  # or by NaN
            continue
        chosen = each.request
        return ChosenRunner(
            runners[each], each.kind.name, reason, chosen.precision, chosen.weights, deviation
        )
    raise ValueError(f"runner 'auto' finds none within tolerance {request.tolerance}: {reason}")


@dataclass(frozen=True, eq=False)
class _Variant:
    """A runner that "auto" tries, and the numbers it computes with."""

    kind: RunnerKind
    request: RunnerRequest

    @property
    def is_rounded(self) -> bool:
        """Whether its results differ by more than the order of float32 sums, unasked."""
        asked = self.request.tolerance is None
        return not asked and (self.request.precision, self.request.weights) != ("fp32", "fp32")

    def deviation(self, runner: Runner) -> Deviation | None:
        """That of its runner on the calibration images, if it rounds."""
        images = self.request.calibration
        if not self.is_rounded or images is None:
            return None
        return measure_deviation(runner, self.request.model, images, self.request.slots)

    @property
    def name(self) -> str:
        if not self.is_rounded:
            return self.kind.name
        if self.request.weights != "fp32":
            return f"{self.kind.name} with weights in {self.request.weights}"
        return f"{self.kind.name} in {self.request.precision}"


def _variants(request: RunnerRequest) -> Iterator[_Variant]:
    asked = [request]
    if request.tolerance is not None:
        asked += [request.stored_as("fp32", name) for name in STORAGES if name != "fp32"]
        asked += [request.stored_as(name, "fp32") for name in PRECISIONS if name != "fp32"]
    for kind in KINDS:
        if kind.is_tried:
            for each in asked:
                if each.precision in kind.precisions and each.weights in kind.storages:
                    yield _Variant(kind, each)
