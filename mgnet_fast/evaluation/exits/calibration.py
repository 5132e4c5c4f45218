"""Chooses an exit rule for a mean budget and predicts its accuracy."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from mgnet_fast.engine import Confidence, Engine, ExitRule, Never
from mgnet_fast.evaluation.exits.calibration_error import (
    expected_calibration_error,
    fit_temperature,
)
from mgnet_fast.evaluation.exits.thresholds import (
    fitted_bars,
    glimpses_taken,
    one_bar,
    step_bars,
)
from mgnet_fast.models.multiply_adds import count_multiply_adds

Unit = Literal["multiply-adds", "milliseconds", "glimpses"]


@dataclass(frozen=True)
class ExitOutcome:
    """Results of an exit rule on the images that it was calibrated on.

    Attributes:
        rule: decides when an image leaves.
        mean_glimpses: mean number of glimpses per image.
        accuracy: share of right labels, in [0, 1].
        multiply_adds: mean per image, in the convention "cached".
        images_per_second: measured on a stream; NaN if not measured.
    """

    rule: ExitRule
    mean_glimpses: float
    accuracy: float
    multiply_adds: float
    images_per_second: float


@dataclass(frozen=True)
class ExitCalibration:
    """The result of :func:`calibrate_exit`.

    Attributes:
        rule: the rule with one threshold that meets the budget.
        rule_by_glimpse: the rule with a threshold per glimpse, fitted to the labels. It stops early
            where further glimpses would not help.
        temperature: of both rules, unless they have learned from the logits as they are.
        calibration_error: expected calibration error of the network's own probabilities after
            each glimpse.
        scaled_calibration_error: the same with the temperature.
        costs: cost of 1..T glimpses, in the budget's unit.
        table: outcomes of rules with one threshold, from the cheapest to the most expensive.
        outcome, outcome_by_glimpse: outcomes of the two rules.
    """

    rule: ExitRule
    rule_by_glimpse: ExitRule
    temperature: float
    calibration_error: tuple[float, ...]
    scaled_calibration_error: tuple[float, ...]
    costs: tuple[float, ...]
    table: tuple[ExitOutcome, ...]
    outcome: ExitOutcome
    outcome_by_glimpse: ExitOutcome


def calibrate_exit(
    engine: Engine,
    loader: Iterable[tuple[Tensor, Tensor]],
    budget: float,
    *,
    unit: Unit = "multiply-adds",
    rule: ExitRule | None = None,
    rows: int = 7,
    rounds: int = 3,
) -> ExitCalibration:
    """Finds the exit rule that meets a mean budget per image, and tabulates alternatives.

    Args:
        engine: gives network, slots and runner.
        loader: batches (images [B, C, H, W], labels int64 [B]) of images that the network was not
            trained on; they are kept in memory.
        budget: mean cost per image.
        unit: "multiply-adds", in the convention "cached"; or "milliseconds" per image of a
            stream, measured here for each number of glimpses; or "glimpses".
        rule: gives the kind of rule, ``min_glimpses`` and ``max_glimpses``. Default: the engine's
            rule, or Confidence if the engine's never lets an image go.
        rows: number of rows of the table, spread evenly over the costs.
        rounds: number of measurements of each row's stream, of which the median counts; 0:
            nothing is measured.

    Raises:
        ValueError: there are no images, ``unit`` is unknown, or the budget is below the cost of
            the fewest glimpses.
    """
    if unit not in get_args(Unit):
        raise ValueError(f"unit must be one of {', '.join(get_args(Unit))}, got {unit!r}")
    batches = [(images, labels.cpu()) for images, labels in loader]
    if not sum(len(labels) for _, labels in batches):
        raise ValueError("loader must give at least one image, got none")
    kind = engine.exit if rule is None else rule
    kind = Confidence(0.9) if isinstance(kind, Never) else kind
    labels = torch.cat([labels for _, labels in batches])
    logits = torch.cat([engine.logits_after_each(images) for images, _ in batches], dim=1)
    logits = logits[: kind.max_glimpses]
    found = _Calibration(engine, kind, batches, logits, labels)
    costs = found.costs(unit, rounds)

    least = kind.min_glimpses
    chosen = found.rule_of(one_bar(found.score, costs, budget, least))
    by_glimpse = found.rule_of(fitted_bars(found.score, found.right, costs, budget, least))
    budgets = np.linspace(costs[least - 1], costs[-1], rows)
    others = [found.rule_of(one_bar(found.score, costs, each, least)) for each in budgets]
    *table, outcome, outcome_by_glimpse = found.outcomes([*others, chosen, by_glimpse], rounds)
    return ExitCalibration(
        chosen,
        by_glimpse,
        found.temperature,
        tuple(found.calibration_error(1.0)),
        tuple(found.calibration_error(found.temperature)),
        tuple(costs),
        tuple(table),
        outcome,
        outcome_by_glimpse,
    )


class _Calibration:
    """Scores of all images after each glimpse, and the outcomes of rules on them."""

    def __init__(
        self,
        engine: Engine,
        kind: ExitRule,
        batches: list[tuple[Tensor, Tensor]],
        logits: Tensor,
        labels: Tensor,
    ) -> None:
        self._engine = engine
        self._batches = batches
        self._logits = logits
        self._labels = labels
        self._steps = len(logits)
        flat = logits.flatten(0, 1)
        finite = flat.isfinite().all(dim=1)
        self.temperature = fit_temperature(flat[finite], labels.repeat(self._steps)[finite])
        temperature = self.temperature if kind.uses_temperature else kind.temperature
        self._kind = replace(kind, temperature=temperature)
        length = torch.arange(1, self._steps + 1)[:, None].expand(logits.shape[:2])
        self.score = self._kind.score(logits, length).numpy()
        self.right = (logits.argmax(-1) == labels).numpy()
        height, width = batches[0][0].shape[-2:]
        self.multiply_adds = [
            float(count_multiply_adds(engine.model, (height, width), "cached", num_glimpses=t + 1))
            for t in range(self._steps)
        ]

    def rule_of(self, bars: float | list[float]) -> ExitRule:
        if isinstance(bars, list):
            thresholds = tuple(self._threshold(bar) for bar in bars) or (0.0,)
            return replace(self._kind, threshold=thresholds)
        return replace(self._kind, threshold=self._threshold(bars))

    def _threshold(self, bar: float) -> float:
        return self._kind.allowed(self._kind.threshold_of(bar))

    def calibration_error(self, temperature: float) -> list[float]:
        return [
            expected_calibration_error(logits / temperature, self._labels)
            for logits in self._logits
        ]

    def costs(self, unit: Unit, rounds: int) -> list[float]:
        """The cost of 1..T glimpses."""
        if unit == "milliseconds":
            return self._milliseconds(max(rounds, 1))
        if unit == "multiply-adds":
            return self.multiply_adds
        return [float(steps) for steps in range(1, self._steps + 1)]

    def _milliseconds(self, rounds: int) -> list[float]:
        """Time per image of a stream, for each number of glimpses."""
        rules = [Never(max_glimpses=t + 1) for t in range(self._steps)]
        return [1e3 / rate for rate in self._rates(rules, rounds)]

    def outcomes(self, rules: Sequence[ExitRule], rounds: int) -> list[ExitOutcome]:
        rates = self._rates(rules, rounds) if rounds else [math.nan] * len(rules)
        return [self._outcome(rule, rate) for rule, rate in zip(rules, rates, strict=True)]

    def _outcome(self, rule: ExitRule, rate: float) -> ExitOutcome:
        least = rule.min_glimpses
        if isinstance(rule.threshold, tuple):
            bars = [rule.bar(each) for each in rule.threshold][: self._steps - 1]
        else:
            bars = step_bars(rule.bar(rule.threshold), self._steps, least)
        taken = glimpses_taken(self.score, bars)
        last = self._logits[torch.from_numpy(taken - 1), torch.arange(len(taken))]
        return ExitOutcome(
            rule,
            float(taken.mean()),
            float((last.argmax(1) == self._labels).double().mean()),
            float(np.asarray(self.multiply_adds)[taken - 1].mean()),
            rate,
        )

    def _rates(self, rules: Sequence[ExitRule], rounds: int) -> list[float]:
        """Images per second of each rule's stream, measured in turn so that a slower machine
        slows all of them alike."""
        engines = [self._engine.with_exit(rule) for rule in rules]
        seconds = np.zeros((rounds, len(engines)))
        for images, _ in self._batches[:1]:
            self._engine.predict(images)  # warms up
        for turn in range(rounds):
            for which, engine in enumerate(engines):
                start = time.perf_counter()
                for images, _ in self._batches:
                    engine.predict(images)
                seconds[turn, which] = time.perf_counter() - start
        return (len(self._labels) / np.median(seconds, axis=0)).tolist()
