"""Measures the engine against the published algorithm, and what early exit saves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .data import TranslatedMNIST
from .demo import AGREEMENT, Comparison, compare
from .engine import Confidence, Deviation, Engine, Never
from .models import MGNet, create_model
from .models.mgnet.published import published_forward

THRESHOLDS = (0.5, 0.9, 0.99, 0.999)
LEAST_ROUNDS = 3
# The largest difference of a single logit, relative to the largest logit. In lower precision a
# rounded region moves the next glimpse, so a few logits differ a lot. This bound detects broken
# engines; judge the quality by the labels (:func:`deviation`).
AGREEMENTS = {"fp32": AGREEMENT, "bf16": 0.25, "fp16": 0.25, "int8": 0.75}


def deviation(model: MGNet, scenes: TranslatedMNIST, slots: int, precision: str) -> Deviation:
    """The deviation from float32 of an engine in ``precision``, calibrated on ``scenes``."""
    images = scenes.scenes(np.arange(len(scenes)))
    engine = Engine(model, precision=precision, slots=slots, calibration=images.split(slots))
    assert engine.deviation is not None
    return engine.deviation


def compare_engine(
    model: MGNet, scenes: TranslatedMNIST, slots: int, seconds: float, precision: str = "fp32"
) -> Iterator[Comparison]:
    """Compare the engine without early exit with the published algorithm, case by case.

    Args:
        model: the toy network.
        scenes: for it.
        slots: number of images in flight, and the peer's batch size.
        seconds: total time, about.
        precision: of the engine; if not float32, calibrated on the images of each case.
    """
    images = scenes.scenes(np.arange(len(scenes)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        resnet = create_model("mgnet_resnet18", num_classes=100).eval()
        photos = torch.randn(16, 3, 224, 224)
    cases = (
        (f"toy, {_slots(1)}", model, images[:8], 1),
        (f"toy, {_slots(slots)}", model, images, slots),
        (f"ResNet-18, {_slots(1)}", resnet, photos[:1], 1),
        (f"ResNet-18, {_slots(16)}", resnet, photos, 16),
    )
    for name, network, pixels, width in cases:
        samples = None if precision == "fp32" else pixels.split(width)
        engine = Engine(
            network, slots=width, exit=Never(), precision=precision, calibration=samples
        )
        yield compare(
            name,
            _published(network, pixels, width),
            _engine(engine, pixels),
            seconds / len(cases),
            AGREEMENTS[precision],
        )


def _published(model: MGNet, images: Tensor, width: int) -> Callable[[], Tensor]:
    def run() -> Tensor:
        batches = images.split(width)
        return torch.cat([published_forward(model, each)["n_logit"][-1] for each in batches])

    return run


def _engine(engine: Engine, images: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        return torch.stack([result.logits for result in engine.predict(images)])

    return run


def _slots(count: int) -> str:
    return f"{count} slot{'s' if count > 1 else ''}"


@dataclass(frozen=True)
class ExitSpeed:
    """A stream with an exit rule, compared with the same stream without.

    Attributes:
        threshold: of the confidence; None for no early exit.
        mean_glimpses: per image.
        accuracy: share of right labels.
        images_per_second: median over the rounds.
        share_of_ideal: the rate divided by the ideal rate, which is that without early exit times
            T / mean glimpses; median over the rounds.
    """

    threshold: float | None
    mean_glimpses: float
    accuracy: float
    images_per_second: float
    share_of_ideal: float


def measure_exits(
    model: MGNet, scenes: TranslatedMNIST, slots: int, seconds: float, precision: str = "fp32"
) -> list[ExitSpeed]:
    """Streams of all scenes with confidence exits, interleaved, for about ``seconds``."""
    batch = scenes.scenes(np.arange(len(scenes)))
    images = list(batch)
    labels = scenes.labels.tolist()
    samples = None if precision == "fp32" else batch.split(slots)
    engine = Engine(model, slots=slots, exit=Never(), precision=precision, calibration=samples)
    thresholds = (None, *THRESHOLDS)
    engines = [
        engine if each is None else engine.with_exit(Confidence(each)) for each in thresholds
    ]
    results = [each.predict(images) for each in engines]
    glimpses = [float(np.mean([r.glimpses for r in found])) for found in results]
    right = [
        float(np.mean([r.label == label for r, label in zip(found, labels, strict=True)]))
        for found in results
    ]
    taken: list[list[float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < LEAST_ROUNDS:
        taken.append([_seconds(each, images) for each in engines])
    rates = len(images) / np.array(taken)
    ideal = rates[:, :1] * (glimpses[0] / np.array(glimpses))
    return [
        ExitSpeed(*row)
        for row in zip(
            thresholds,
            glimpses,
            right,
            np.median(rates, axis=0).tolist(),
            np.median(rates / ideal, axis=0).tolist(),
            strict=True,
        )
    ]


def _seconds(engine: Engine, images: list[Tensor]) -> float:
    start = time.perf_counter()
    engine.predict(images)
    return time.perf_counter() - start
