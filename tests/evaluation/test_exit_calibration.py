"""Bars that spend a budget, calibration of probabilities, and both on the shipped network."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from mgnet_fast import Confidence, Engine, Entropy, Never
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.engine import ExitRule
from mgnet_fast.evaluation import (
    ExitCalibration,
    calibrate_exit,
    expected_calibration_error,
    fit_temperature,
)
from mgnet_fast.evaluation.exits.thresholds import (
    fitted_bars,
    glimpses_taken,
    mean_cost,
    one_bar,
    step_bars,
)
from mgnet_fast.models import count_multiply_adds

COSTS = [1.0, 2.0, 4.0, 8.0]


@pytest.fixture(scope="module")
def score() -> np.ndarray:
    return np.random.default_rng(0).random((4, 500), np.float32)


def test_glimpses_taken_by_hand() -> None:
    score = np.array([[0.9, 0.1, 0.1, np.nan], [0.0, 0.8, 0.1, np.nan], [0.0, 0.0, 0.0, np.nan]])
    assert glimpses_taken(score, [0.5, 0.5]).tolist() == [1, 2, 3, 3]
    assert glimpses_taken(score, [np.inf, 0.0]).tolist() == [2, 2, 2, 3]
    assert glimpses_taken(score[:1], []).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("budget", [1.0, 1.3, 2.0, 5.5, 7.9, 8.0, 100.0])
def test_one_bar_spends_the_budget(score: np.ndarray, budget: float) -> None:
    """The next higher score as a bar would overspend it."""
    bar = one_bar(score, COSTS, budget)
    assert mean_cost(score, step_bars(bar, 4), COSTS) <= budget
    higher = score[score > bar].min(initial=np.inf)
    if higher < np.inf:
        above = np.nextafter(np.float64(higher), np.inf)
        assert mean_cost(score, step_bars(above, 4), COSTS) > budget
    else:
        assert budget >= mean_cost(score, step_bars(np.inf, 4), COSTS)


def test_fitted_bars_leave_hopeless_images_alone() -> None:
    """A tenth is read by the second glimpse, a tenth by none; both look alike after the first."""
    score = np.full((4, 100), 0.9) - np.linspace(0, 1e-3, 100)
    score[:, :20] -= 0.8
    score[1:, :10] += 0.5
    right = np.ones((4, 100), bool)
    right[:, 10:20] = False
    right[0, :10] = False
    bars = fitted_bars(score, right, COSTS, 1.2)
    taken = glimpses_taken(score, bars)
    assert taken.tolist() == [2] * 20 + [1] * 80
    one = step_bars(one_bar(score, COSTS, 1.2), 4)
    assert glimpses_taken(score, one)[:20].max() == 4
    assert fitted_bars(score, right, COSTS, 8.0)[1:] == bars[1:]  # more would help nothing


@pytest.mark.parametrize("budget", [1.0, 1.3, 2.0, 5.5, 8.0])
def test_fitted_bars_stay_within_the_budget(score: np.ndarray, budget: float) -> None:
    right = np.random.default_rng(1).random(score.shape) < score * [[0.5], [0.7], [0.9], [1]]
    assert mean_cost(score, fitted_bars(score, right, COSTS, budget), COSTS) <= budget


def test_no_image_leaves_before_the_least(score: np.ndarray) -> None:
    bars = fitted_bars(score, score > 0.5, COSTS, 3.0, least=2)
    assert bars[0] == np.inf
    assert 2.0 <= mean_cost(score, bars, COSTS) <= 3.0
    bar = one_bar(score, COSTS, 3.0, least=2)
    assert 2.9 < mean_cost(score, step_bars(bar, 4, 2), COSTS) <= 3.0


def test_scores_that_are_nan_take_all_glimpses(score: np.ndarray) -> None:
    score = score.copy()
    score[:, :100] = np.nan
    bars = fitted_bars(score, score > 0.5, COSTS, 4.0)
    assert (glimpses_taken(score, bars)[:100] == 4).all()
    assert mean_cost(score, step_bars(one_bar(score, COSTS, 4.0), 4), COSTS) <= 4.0


@pytest.mark.parametrize("fits", [False, True])
def test_too_small_a_budget(score: np.ndarray, fits: bool) -> None:
    find = partial(fitted_bars, right=score > 0.5) if fits else one_bar
    with pytest.raises(ValueError, match="budget must be at least 1, the cost of 1 glimpse, got 0"):
        find(score, costs=COSTS, budget=0.5)
    with pytest.raises(ValueError, match="at least 2, the cost of 2 glimpses, got 1"):
        find(score, costs=COSTS, budget=1.0, least=2)


def test_calibration_error_by_hand() -> None:
    """Confidences 0.5 (one of two right) and 0.9 (none of one right): 0 and 0.9, weighted."""
    logits = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]]).log()
    labels = torch.tensor([0, 1, 1])
    assert expected_calibration_error(logits, labels, bins=10) == pytest.approx(0.3)
    assert expected_calibration_error(logits[:2], labels[:2]) == pytest.approx(0.0)


def test_the_temperature_is_found() -> None:
    """Labels drawn from softmax(z), shown as 3 z."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    temperature = fit_temperature(3 * logits, labels)
    assert temperature == pytest.approx(3.0, rel=0.05)
    before = expected_calibration_error(3 * logits, labels)
    assert expected_calibration_error(3 * logits / temperature, labels) < before / 5


def test_the_temperature_has_bounds() -> None:
    sure = torch.eye(4) * 5
    assert fit_temperature(sure, torch.arange(4)) == pytest.approx(0.05)
    assert fit_temperature(sure, torch.tensor([1, 2, 3, 0])) == pytest.approx(20.0)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load_model(), slots=32)


@pytest.fixture(scope="module")
def loader() -> list:
    return list(load_scenes(300).batches(100))


@pytest.mark.parametrize("kind", [None, Entropy(0.3), Confidence(0.5, min_glimpses=2)])
def test_the_chosen_rules_do_in_the_engine_what_the_table_says(
    engine: Engine, loader: list, kind: ExitRule | None
) -> None:
    least = 2 if kind == Confidence(0.5, min_glimpses=2) else 1
    costs = [count_multiply_adds(engine.model, 112, "cached", num_glimpses=t) for t in (1, 2, 3)]
    budget = (costs[least - 1] + costs[2]) / 2
    found = calibrate_exit(engine, loader, budget, rule=kind, rows=3, rounds=0)
    assert isinstance(found, ExitCalibration)
    assert found.costs == tuple(costs)
    for outcome in (found.outcome, found.outcome_by_glimpse, *found.table):
        results = [
            result
            for images, _ in loader
            for result in engine.with_exit(outcome.rule).predict(images)
        ]
        labels = torch.cat([labels for _, labels in loader]).tolist()
        taken = [result.glimpses for result in results]
        right = [result.label == label for result, label in zip(results, labels, strict=True)]
        assert np.mean(taken) == pytest.approx(outcome.mean_glimpses)
        assert np.mean(right) == pytest.approx(outcome.accuracy)
        assert np.mean([costs[t - 1] for t in taken]) == pytest.approx(outcome.multiply_adds)
        assert math.isnan(outcome.images_per_second)
    assert found.outcome.multiply_adds <= budget
    assert found.outcome_by_glimpse.multiply_adds <= budget
    assert found.outcome_by_glimpse.accuracy >= found.outcome.accuracy
    means = [outcome.mean_glimpses for outcome in found.table]
    assert means == sorted(means)
    assert (means[0], means[-1]) == (least, 3)


def test_a_budget_in_milliseconds_is_measured(engine: Engine, loader: list) -> None:
    found = calibrate_exit(engine, loader[:1], 1e9, unit="milliseconds", rows=2, rounds=1)
    assert all(cost > 0 for cost in found.costs)
    assert found.outcome.mean_glimpses == 3
    assert all(outcome.images_per_second > 0 for outcome in found.table)


def test_an_engine_that_never_exits_is_calibrated_by_confidence(
    engine: Engine, loader: list
) -> None:
    found = calibrate_exit(engine.with_exit(Never()), loader[:1], 1e9, rounds=0)
    assert isinstance(found.rule, Confidence)
    assert found.rule.temperature == found.temperature


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loader": []}, "loader must give at least one image"),
        (
            {"unit": "flops"},
            "unit must be one of .*-adds, milliseconds, glimpses, got 'flops'",
        ),
        ({"budget": 5.0}, "budget must be at least 3.47"),
    ],
)
def test_wrong_arguments(engine: Engine, loader: list, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate_exit(**{"engine": engine, "loader": loader, "budget": 1e9, **options})
