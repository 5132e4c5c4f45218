"""Accuracy against cost, for each number of steps and for early exits."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mgnet_fast.engine import Confidence, Engine, ExitRule, Never
from mgnet_fast.evaluation.accuracy import wilson_interval
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.multiply_adds import Convention, count_multiply_adds
from mgnet_fast.models.network import check_network

CONVENTIONS: tuple[Convention, Convention] = ("cached", "paper")
THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)


@dataclass(frozen=True)
class BudgetPoint:
    """Measured accuracy and cost of a number of glimpses or of an exit rule.

    Attributes:
        network: name of the network.
        kind: "glimpses" (the same number for every image) or "exit" (by confidence).
        setting: the number of glimpses, or the threshold.
        mean_glimpses: mean number of glimpses per image.
        correct, count: number of right labels and of images.
        accuracy, low, high: share of right labels with its Wilson 95 % interval.
        multiply_adds: mean per image in the convention "cached", which is what runs.
        paper_multiply_adds: mean per image in the convention "paper".
        milliseconds: time per image, the median over the rounds.
        slots: number of images in flight during the measurement.
    """

    network: str
    kind: str
    setting: float
    mean_glimpses: float
    correct: int
    count: int
    accuracy: float
    low: float
    high: float
    multiply_adds: float
    paper_multiply_adds: float
    milliseconds: float
    slots: int


def measure_budgets(
    networks: Sequence[tuple[str, GlimpseNetwork]],
    images: Tensor,
    labels: Tensor,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    slots: int = 1,
    rounds: int = 5,
    device: torch.device | str = "cpu",
    on_run: Callable[[int], None] | None = None,
) -> list[BudgetPoint]:
    """Runs every setting of every network in the engine, and measures accuracy and time.

    Each round runs all settings in turn, so that a slower machine slows them alike. The time of
    a setting is its median over the rounds. Labels and numbers of glimpses are taken from these
    runs, not computed from logits.

    Args:
        networks: names and networks.
        images: [N, C, H, W], as the networks take them.
        labels: int64 [N].
        thresholds: of the confidence exit, for networks of more than one step.
        slots: images in flight; 1 measures the time of single images.
        rounds: number of timed rounds; one more warms up.
        device: where the engine runs.
        on_run: called with the number of finished runs, of :func:`count_runs`.

    Raises:
        TypeError: a network is not a glimpse network.
        ValueError: there are no images or networks, thresholds are outside (0, 1], rounds are
            below 1, or images do not fit a network. Nothing has run then.
    """
    if not networks or not len(images) or labels.shape != images.shape[:1]:
        raise ValueError(
            f"wanted networks, and as many labels as images, got {len(networks)} networks, "
            f"{len(images)} images, labels {list(labels.shape)}"
        )
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    for threshold in thresholds:
        if not 0 < threshold <= 1:
            raise ValueError(f"thresholds must lie in (0, 1], got {threshold}")
    for name, model in networks:
        check_network(model)
        if model.config.in_chans != images.shape[1]:
            raise ValueError(
                f"{name} must have in_chans = {images.shape[1]} for these images, "
                f"got {model.config.in_chans}"
            )
    runs = [
        _Setting(name, engine.with_exit(rule), kind, setting)
        for name, model in networks
        for engine in [Engine(model, device, slots=slots)]  # type: ignore[arg-type, unused-ignore]
        for kind, setting, rule in _rules(model, thresholds)
    ]
    done = 0
    for turn in range(rounds + 1):  # the first round warms up and gives the labels
        for run in runs:
            run.measure(images, labels, keep=turn > 0)
            done += 1
            if on_run is not None:
                on_run(done)
    height, width = images.shape[-2:]
    return [run.point((height, width), slots) for run in runs]


def count_runs(models: Sequence[GlimpseNetwork], thresholds: Sequence[float], rounds: int) -> int:
    """The number of runs that :func:`measure_budgets` makes."""
    return (rounds + 1) * sum(len(_rules(model, thresholds)) for model in models)


def write_budgets(points: Sequence[BudgetPoint], path: str | Path) -> Path:
    """Writes one CSV row per point, with the fields of :class:`BudgetPoint` as columns."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        names = [field.name for field in fields(BudgetPoint)]
        table = csv.DictWriter(file, names, lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(point) for point in points)
    return path


def _rules(model: GlimpseNetwork, thresholds: Sequence[float]) -> list[tuple[str, float, ExitRule]]:
    steps = model.config.num_glimpses
    rules: list[tuple[str, float, ExitRule]] = [
        ("glimpses", t, Never(max_glimpses=t)) for t in range(1, steps + 1)
    ]
    if steps > 1:
        rules += [("exit", threshold, Confidence(threshold)) for threshold in thresholds]
    return rules


class _Setting:
    """The results and times of one network with one exit rule."""

    def __init__(self, name: str, engine: Engine, kind: str, setting: float) -> None:
        self._name, self._engine, self._kind, self._setting = name, engine, kind, setting
        self._seconds: list[float] = []
        self._correct = 0
        self._taken = np.zeros(0, np.int64)

    def measure(self, images: Tensor, labels: Tensor, *, keep: bool) -> None:
        start = time.perf_counter()
        predictions = self._engine.predict(images)
        seconds = time.perf_counter() - start
        if keep:
            self._seconds.append(seconds)
            return
        self._taken = np.array([prediction.glimpses for prediction in predictions])
        self._correct = sum(
            prediction.label == label
            for prediction, label in zip(predictions, labels.tolist(), strict=True)
        )

    def point(self, size: tuple[int, int], slots: int) -> BudgetPoint:
        count = len(self._taken)
        cached, paper = (self._mean_cost(size, name) for name in CONVENTIONS)
        low, high = wilson_interval(self._correct, count)
        return BudgetPoint(
            self._name,
            self._kind,
            self._setting,
            float(self._taken.mean()),
            self._correct,
            count,
            self._correct / count,
            low,
            high,
            cached,
            paper,
            1e3 * float(np.median(self._seconds)) / count,
            slots,
        )

    def _mean_cost(self, size: tuple[int, int], convention: Convention) -> float:
        model = self._engine.model
        costs = [0.0] * (model.config.num_glimpses + 1)
        for t in set(self._taken.tolist()):
            costs[t] = float(count_multiply_adds(model, size, convention, num_glimpses=t))
        return float(np.asarray(costs)[self._taken].mean())
