"""When an image leaves, by hand-made logits."""

from __future__ import annotations

import math

import pytest
import torch

from mgnet_fast import Confidence, Entropy, Margin, Never
from mgnet_fast.engine import ExitRule
from mgnet_fast.engine.exits import ExitDecision

SURE, UNSURE = [9.0, 0.0, 0.0], [0.3, 0.2, 0.1]
INF, NAN = math.inf, math.nan


def leaves(rule: ExitRule, logits: list[list[float]], length: list[int], steps: int = 4) -> list:
    decision = ExitDecision(rule, steps, "cpu")
    return decision(torch.tensor(logits), torch.tensor(length)).tolist()


@pytest.mark.parametrize("rule", [Confidence(0.9), Margin(0.8), Entropy(0.3)])
def test_sure_images_leave_and_others_stay(rule: ExitRule) -> None:
    assert leaves(rule, [SURE, UNSURE, SURE, UNSURE], [1, 1, 3, 4]) == [True, False, True, True]


@pytest.mark.parametrize("rule", [Confidence(0.0), Margin(0.0), Entropy(9.0)])
def test_logits_that_are_not_finite_are_never_sure(rule: ExitRule) -> None:
    """Even where everything else leaves at once; only the last glimpse ends it."""
    broken = [[NAN, 0.0, 0.0], [INF, 0.0, 0.0], [-INF, -INF, -INF], [INF, INF, 0.0]]
    assert leaves(rule, broken, [1, 1, 2, 3]) == [False] * 4
    assert leaves(rule, broken, [4, 4, 4, 4]) == [True] * 4
    assert leaves(rule, [UNSURE], [1]) == [True]


def test_minus_infinity_is_a_class_that_is_out_of_the_question() -> None:
    row = [5.0, 4.0, -INF]
    one, two = 1 / (1 + math.exp(-1)), 1 / (1 + math.e)
    entropy = -one * math.log(one) - two * math.log(two)
    assert Confidence().score(torch.tensor(row)).item() == pytest.approx(one)
    assert Margin().score(torch.tensor(row)).item() == pytest.approx(one - two)
    assert Entropy().score(torch.tensor(row)).item() == pytest.approx(-entropy)


def test_never_waits_for_the_last_glimpse() -> None:
    assert leaves(Never(), [SURE] * 4, [1, 2, 3, 4]) == [False, False, False, True]
    assert leaves(Never(max_glimpses=2), [SURE] * 2, [1, 2]) == [False, True]


def test_fewest_and_most_glimpses() -> None:
    rule = Confidence(0.9, min_glimpses=2, max_glimpses=3)
    assert leaves(rule, [SURE] * 3, [1, 2, 3]) == [False, True, True]
    assert leaves(rule, [UNSURE] * 3, [1, 2, 3]) == [False, False, True]


def test_thresholds_by_glimpse() -> None:
    """The last threshold goes on for the glimpses after it."""
    rule = Confidence((math.inf, 0.9, 0.2))
    assert leaves(rule, [SURE, SURE, UNSURE, UNSURE], [1, 2, 2, 3], 5) == [False, True, False, True]
    assert leaves(rule, [UNSURE], [4], 5) == [True]


def test_the_bar_is_included() -> None:
    assert leaves(Confidence(0.5), [[0.0, 0.0]], [1]) == [True]
    assert leaves(Margin(0.0), [[0.0, 0.0]], [1]) == [True]


def test_temperature_softens() -> None:
    assert leaves(Confidence(0.9), [[4.0, 0.0, 0.0]], [1]) == [True]
    assert leaves(Confidence(0.9, temperature=3.0), [[4.0, 0.0, 0.0]], [1]) == [False]


@pytest.mark.parametrize("rule", [Confidence(0.9), Margin(0.9), Entropy(0.1)])
def test_one_class_is_always_sure(rule: ExitRule) -> None:
    assert leaves(rule, [[0.3]], [1]) == [True]


@pytest.mark.parametrize("rule", [Confidence(), Margin(), Entropy()])
def test_bar_and_threshold_are_inverse(rule: ExitRule) -> None:
    assert rule.threshold_of(rule.bar(0.25)) == 0.25


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (TypeError, {"threshold": "0.9"}, "threshold must be a number"),
        (ValueError, {"threshold": NAN}, "threshold must not be NaN"),
        (ValueError, {"threshold": ()}, "at least one number"),
        (ValueError, {"min_glimpses": 0}, "min_glimpses must be at least 1, got 0"),
        (TypeError, {"max_glimpses": 2.0}, "max_glimpses must be an int"),
        (ValueError, {"min_glimpses": 3, "max_glimpses": 2}, "at least min_glimpses = 3, got 2"),
        (ValueError, {"temperature": 0.0}, "temperature must be positive"),
    ],
)
def test_wrong_rules_are_refused(kind: type[Exception], values: dict, message: str) -> None:
    with pytest.raises(kind, match=message):
        Confidence(**values)


def test_a_rule_must_fit_the_network() -> None:
    with pytest.raises(ValueError, match=r"max_glimpses must be at most .* 3 glimpses, got 4"):
        ExitDecision(Never(max_glimpses=4), 3, "cpu")
    with pytest.raises(TypeError, match="exit must be an exit rule such as Confidence"):
        ExitDecision(0.9, 3, "cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "threshold", "said"),
    [
        (Confidence, -1, r"threshold of Confidence must be in \[0, 1\], got -1"),
        (Confidence, 1.5, r"threshold of Confidence must be in \[0, 1\], got 1.5"),
        (Confidence, (0.5, 2.0), r"threshold of Confidence must be in \[0, 1\], got 2"),
        (Margin, 1.01, r"threshold of Margin must be in \[0, 1\], got 1.01"),
        (Margin, float("-inf"), r"threshold of Margin must be in \[0, 1\], got -inf"),
        (Entropy, -0.1, r"threshold of Entropy must be at least 0, got -0.1"),
    ],
)
def test_thresholds_that_no_score_can_have_are_refused(
    kind: type, threshold: object, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        kind(threshold)


def test_a_threshold_that_no_image_reaches_is_infinite() -> None:
    assert Confidence((float("inf"), 0.5)).threshold == (float("inf"), 0.5)
    assert Entropy((float("-inf"), 0.5)).threshold == (float("-inf"), 0.5)
