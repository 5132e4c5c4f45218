"""Networks of any family side by side on the same scenes: accuracy, cost, latency, memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .data.digits.translated_mnist import TranslatedMNIST
from .evaluation.accuracy import check_fit, evaluate
from .evaluation.live_bytes import peak_bytes
from .models import GlimpseNetwork, count_multiply_adds

BATCHES = (1, 32)
LEAST_ROUNDS = 7
WARM_UP = 3


@dataclass(frozen=True)
class NetworkRow:
    """One network on the scenes.

    Attributes:
        name: as it was given.
        count, correct: scenes, and right answers after the last step.
        interval: of the accuracy, 95 %.
        multiply_adds: of one scene, as this package computes.
        milliseconds: from batch size to the median of a forward pass of the whole batch.
        parameters: number of weights.
        peak_bytes: the most that a forward pass of the largest batch holds, without parameters
            and images.
    """

    name: str
    count: int
    correct: int
    interval: tuple[float, float]
    multiply_adds: int
    milliseconds: dict[int, float]
    parameters: int
    peak_bytes: int


@torch.inference_mode()
def compare_networks(
    networks: Sequence[tuple[str, GlimpseNetwork]],
    scenes: TranslatedMNIST,
    *,
    seconds: float = 20.0,
    on_part: Callable[[str, int], None] | None = None,
) -> list[NetworkRow]:
    """A row for each network, all on the same scenes.

    Passes of all networks take turns, so a busy machine slows all of them, and nothing but the
    forward pass is timed.

    Args:
        networks: (name, network) on the CPU; they are left in evaluation mode and channels_last.
        scenes: for all of them.
        seconds: for the latencies; each network is timed at least seven times per batch size.
        on_part: called with what comes next and the number of networks that are done.

    Raises:
        ValueError: networks do not fit the scenes, or there are fewer than 32.
    """
    _check_all(networks, scenes)
    if len(scenes) < max(BATCHES):
        raise ValueError(f"there must be at least {max(BATCHES)} scenes, got {len(scenes)}")
    say = on_part or (lambda part, done: None)
    images = scenes.scenes(np.arange(max(BATCHES)))
    say("latency", 0)
    models: list[GlimpseNetwork] = [
        model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for _, model in networks
    ]
    medians = {batch: _medians(models, images[:batch], seconds / len(BATCHES)) for batch in BATCHES}
    found = []
    for at, ((name, _), model) in enumerate(zip(networks, models, strict=True)):
        say(f"accuracy of {name}", at)
        accuracy = evaluate(model, scenes)
        found.append(
            NetworkRow(
                name,
                accuracy.count,
                accuracy.correct[-1],
                accuracy.interval[-1],
                count_multiply_adds(model, scenes.scene_size, "cached"),
                {batch: 1e3 * medians[batch][at] for batch in BATCHES},
                sum(each.numel() for each in model.parameters()),
                peak_bytes(lambda model=model: model(images)),  # type: ignore[misc]
            )
        )
    return found


def _check_all(networks: Sequence[tuple[str, GlimpseNetwork]], scenes: TranslatedMNIST) -> None:
    misfits = []
    for name, model in networks:
        try:
            check_fit(model, scenes)
        except ValueError as error:
            misfits.append(f"{name}: {error}")
    if misfits:
        raise ValueError("; ".join(misfits))


def _medians(models: Sequence[GlimpseNetwork], images: Tensor, seconds: float) -> list[float]:
    taken: list[list[float]] = []
    was_enabled = gc.isenabled()
    gc.disable()  # a collection would hit one of the turn
    try:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(taken) < LEAST_ROUNDS + WARM_UP:
            taken.append([_seconds(model, images) for model in models])
    finally:
        if was_enabled:
            gc.enable()
    medians: list[float] = np.median(taken[WARM_UP:], axis=0).tolist()
    return medians


def _seconds(model: GlimpseNetwork, images: Tensor) -> float:
    start = time.perf_counter()
    model(images)
    return time.perf_counter() - start
