"""Times the engine and what a user would run instead: one process, turn by turn.

The contestants of a network are its two forms, four small glimpses (MGNet) in the engine and one
large look (FF-Net) without the engine's slots, in every runner; one step of the engine; and the
backbone alone on ready glimpses, which is the least that a step can take in that runner.
"""

from __future__ import annotations

import copy
import gc
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from .engine import Engine, Never
from .engine.libraries.library_backbone import LibraryBackbone
from .engine.runners.plain import PlainRunner
from .engine.runners.runner import StepInput
from .engine_speed import AGREEMENTS
from .models import MGNet, create_model

EAGER = "PyTorch, eager"
"""The network called as a module; the other contestants are named by their runner."""

RUNNERS = ("packed", "openvino", "onnxruntime")
LIBRARIES = ("openvino", "onnxruntime")
HALF_WEIGHTS = "packed, fp16 weights"
"""The runner that stores the weights of a float32 backbone in float16; it is no rival of others."""

LEAST_ROUNDS = 5
PAUSE = 0.2
"""Seconds before another library's turn, with several threads."""
_PERCENTILES = (20, 50, 80, 90, 99)

Percentiles = dict[str, float]


@dataclass(frozen=True)
class Peer:
    """One contestant.

    Attributes:
        what: what it computes: "MGNet, T = 4", "FF-Net", "one step" or "backbone alone"; "" if the
            runner cannot run any of them.
        runner: what runs it.
        difference: of its result from that of eager float32, relative to the largest number.
        agreement: the largest allowed ``difference``; a contestant beyond it is not timed.
        seconds: percentiles of the seconds per call, "p20" to "p99"; empty if not timed.
        against: the rivals it is compared with: percentiles of its time divided by theirs, round
            by round. "best FF-Net" or "best library" (its backbone alone), the fastest by median;
            and "eager", the same in eager PyTorch.
        rounds: number of calls.
        refusal: why it could not run, or None.
    """

    what: str
    runner: str
    difference: float | None = None
    agreement: float | None = None
    seconds: Percentiles = field(default_factory=dict)
    against: dict[str, Percentiles] = field(default_factory=dict)
    rounds: int = 0
    refusal: str | None = None


@dataclass(frozen=True)
class _Contestant:
    what: str
    runner: str
    run: Callable[[], Tensor]
    expected: Tensor


def compare_with_runtimes(
    seconds: float, precision: str = "fp32", *, compiled: bool = False
) -> Iterator[tuple[str, list[Peer]]]:
    """ResNet-18 with random weights, one image at a time: the case and its contestants.

    Batches are in bench/engine_peers.py: they would take minutes.

    Args:
        seconds: to measure, about; building comes before.
        precision: of the backbone; int8 is calibrated on the images themselves.
        compiled: whether "compiled" is among the runners.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        glimpses, large = (
            cast(MGNet, create_model(f"{name}_resnet18", num_classes=100).eval())
            for name in ("mgnet", "ffnet")
        )
        photos = torch.randn(16, 3, 224, 224)
    runners = (*RUNNERS, "compiled") if compiled else RUNNERS
    peers = compare_peers(
        glimpses,
        large,
        photos[:1],
        seconds,
        runners=runners,
        precision=precision,
        calibration=photos if precision == "int8" else None,
    )
    yield "ResNet-18, 1 image", peers


@torch.inference_mode()
def compare_peers(
    glimpses: MGNet,
    large: MGNet,
    images: Tensor,
    seconds: float,
    *,
    runners: Iterable[str] = RUNNERS,
    precision: str = "fp32",
    calibration: Tensor | None = None,
) -> list[Peer]:
    """Compare all contestants on a batch of images.

    Args:
        glimpses: the network with small glimpses.
        large: the same with one look at the whole image.
        images: [S, C, H, W]; the engines get S slots.
        seconds: to measure, about; at least :data:`LEAST_ROUNDS` rounds. Building comes before.
        runners: of the engine.
        precision: of the backbone in the engine; eager PyTorch stays in float32.
        calibration: images for int8.
    """
    settings = {"precision": precision, "calibration": calibration}
    found, refused = _eager_contestants(glimpses, large, images), []
    expected = {each.what: each.expected for each in found}
    for runner in runners:
        refusing = ""  # both networks, as far as is known
        try:
            found += _with_glimpses(runner, glimpses, images, expected, settings)
            refusing = "FF-Net"
            found += _with_one_look(runner, large, images, expected, settings)
        except ValueError as reason:
            refused.append(Peer(refusing, runner, refusal=str(reason)))
    if precision == "fp32" and "packed" in runners:
        found += _with_half_weights(glimpses, images, expected)
    agreeing, peers = [], []
    for each in found:
        difference = _difference(each.run(), each.expected)
        agreement = AGREEMENTS["fp16" if each.runner == HALF_WEIGHTS else precision]
        peer = Peer(each.what, each.runner, difference, agreement)
        if difference <= agreement:
            agreeing.append((each, peer))
        else:
            peers.append(peer)
    times = _measured([each.run for each, _ in agreeing], seconds)
    return [*_with_times([peer for _, peer in agreeing], times), *peers, *refused]


def _eager_contestants(glimpses: MGNet, large: MGNet, images: Tensor) -> list[_Contestant]:
    ready = [copy.deepcopy(each).float().eval() for each in (glimpses, large)]
    first = Engine(glimpses, runner="eager", slots=len(images), exit=Never(max_glimpses=1))
    looks = ready[0].first_glimpse(images)[0].contiguous()
    runs = {
        _title(glimpses): lambda: ready[0](images)["n_logit"][-1],
        "FF-Net": lambda: ready[1](images)["n_logit"][-1],
        "one step": lambda: _logits(first, images),
        "backbone alone": lambda: ready[0].backbone(looks),
    }
    return [_Contestant(what, EAGER, run, run()) for what, run in runs.items()]


def _with_one_look(
    runner: str,
    large: MGNet,
    images: Tensor,
    expected: dict[str, Tensor],
    settings: dict[str, Any],
) -> list[_Contestant]:
    engine = Engine(large, runner=runner, slots=len(images), exit=Never(), **settings)
    return [_Contestant("FF-Net", runner, _one_look(engine, images), expected["FF-Net"])]


def _with_glimpses(
    runner: str,
    glimpses: MGNet,
    images: Tensor,
    expected: dict[str, Tensor],
    settings: dict[str, Any],
) -> list[_Contestant]:
    small = Engine(glimpses, runner=runner, slots=len(images), exit=Never(), **settings)
    first = small.with_exit(Never(max_glimpses=1))
    runs = {
        _title(glimpses): lambda: _logits(small, images),
        "one step": lambda: _logits(first, images),
    }
    if runner != "compiled":  # which has no backbone of its own
        runs["backbone alone"] = _backbone_alone(small, images)
    return [_Contestant(what, runner, run, expected[what]) for what, run in runs.items()]


def _with_half_weights(
    glimpses: MGNet, images: Tensor, expected: dict[str, Tensor]
) -> Iterator[_Contestant]:
    try:
        engine = Engine(glimpses, runner="packed", slots=len(images), exit=Never(), weights="fp16")
    except ValueError:  # this processor has no kernels for them
        return
    first = engine.with_exit(Never(max_glimpses=1))
    for what, each in ((_title(glimpses), engine), ("one step", first)):
        yield _Contestant(what, HALF_WEIGHTS, partial(_logits, each, images), expected[what])


def _backbone_alone(engine: Engine, images: Tensor) -> Callable[[], Tensor]:
    """The backbone of the engine's runner on first glimpses in the layout it likes best."""
    plain = engine._runner
    assert isinstance(plain, PlainRunner)
    looks = plain.glimpses(images, plain.initial_regions(len(images)), None)
    backbone = plain.model.backbone
    call = backbone.program if isinstance(backbone, LibraryBackbone) else backbone
    return lambda: call(looks).float()


def _one_look(engine: Engine, images: Tensor) -> Callable[[], Tensor]:
    """A single step without the engine around it, as one would call the library itself."""
    runner, count = engine._runner, len(images)
    given = StepInput(
        images,
        runner.initial_regions(count),
        runner.new_tokens(count),
        torch.ones(count, dtype=torch.int64),
    )
    return lambda: runner.step(given)[0]


def _logits(engine: Engine, images: Tensor) -> Tensor:
    return torch.stack([prediction.logits for prediction in engine.predict(images)])


def _title(model: MGNet) -> str:
    return f"MGNet, T = {model.config.num_glimpses}"


def _difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _measured(runs: list[Callable[[], Tensor]], seconds: float) -> np.ndarray:
    """Seconds of each call [rounds, runs]; each round starts with another one.

    With several threads a run calls several times in a row, after a pause: the threads of another
    library look for more work for a while, on cores that this one needs, and its own threads have
    to wake.
    """
    several = torch.get_num_threads() > 1
    warm, calls = (3, 5) if several else (0, 1)
    for run in runs:
        run()  # warm-up
    rounds: list[np.ndarray] = []
    was_enabled = gc.isenabled()
    gc.disable()  # a collection would slow one of a round
    try:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(rounds) < LEAST_ROUNDS:
            taken = np.zeros((calls, len(runs)))
            for place in range(len(runs)):
                which = (place + len(rounds)) % len(runs)
                if several:
                    time.sleep(PAUSE)
                for call in range(-warm, calls):
                    start = time.perf_counter()
                    runs[which]()
                    if call >= 0:
                        taken[call, which] = time.perf_counter() - start
            rounds.append(taken)
    finally:
        if was_enabled:
            gc.enable()
    return np.concatenate(rounds)


def _with_times(peers: list[Peer], times: np.ndarray) -> list[Peer]:
    medians = np.median(times, axis=0)

    def fastest(what: str, runners: tuple[str, ...] | None = None) -> int | None:
        places = [
            place
            for place, peer in enumerate(peers)
            if peer.what == what and (runners is None or peer.runner in runners)
        ]
        return min(places, key=lambda place: medians[place], default=None)

    best_large = fastest("FF-Net")
    best_library = fastest("backbone alone", LIBRARIES)
    timed = []
    for place, peer in enumerate(peers):
        is_part = peer.what in ("one step", "backbone alone")
        rivals = {
            "best library" if is_part else "best FF-Net": best_library if is_part else best_large,
            "eager": fastest(peer.what, (EAGER,)),
        }
        timed.append(
            Peer(
                peer.what,
                peer.runner,
                peer.difference,
                peer.agreement,
                _percentiles(times[:, place]),
                {
                    name: _percentiles(times[:, place] / times[:, rival])
                    for name, rival in rivals.items()
                    if rival is not None
                },
                len(times),
            )
        )
    return timed


def _percentiles(values: np.ndarray) -> Percentiles:
    found = np.percentile(values, _PERCENTILES)
    return {f"p{name}": float(value) for name, value in zip(_PERCENTILES, found, strict=True)}
