"""Thresholds (bars) on scores that meet a mean budget, from scores after each glimpse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Bars = Sequence[float]


def glimpses_taken(score: np.ndarray, bars: Bars) -> np.ndarray:
    """The number of glimpses after which each image leaves, int64 [N].

    Args:
        score: [T, N], scores after each glimpse; NaN reaches no bar.
        bars: [T - 1], one for each glimpse but the last.
    """
    reached = score[:-1] >= np.asarray(bars, np.float64)[:, None]
    all_taken = np.ones((1, score.shape[1]), bool)
    return np.concatenate([reached, all_taken]).argmax(axis=0) + 1


def one_bar(score: np.ndarray, costs: Sequence[float], budget: float, least: int = 1) -> float:
    """The highest bar, the same after every glimpse, whose mean cost is within the budget.

    Args:
        score: [T, N], scores after each glimpse.
        costs: [T], cost of 1..T glimpses.
        budget: mean cost per image.
        least: number of glimpses that every image takes.

    Raises:
        ValueError: the budget is below the cost of ``least`` glimpses.
    """
    _check_budget(costs, budget, least)
    known = np.unique(score[np.isfinite(score)].astype(np.float64))
    # Bars lie between scores, so that rounding cannot decide whether an image leaves.
    between = (known[1:] + known[:-1]) / 2
    ends = (known[:1] - 1, known[-1:] + 1) if len(known) else ([0.0], [0.0])
    bars = np.concatenate([ends[0], between, ends[1]])
    low, high = 0, len(bars) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if mean_cost(score, step_bars(bars[middle], len(score), least), costs) <= budget:
            low = middle
        else:
            high = middle - 1
    return float(bars[low])


def step_bars(bar: float, steps: int, least: int = 1) -> list[float]:
    """The bars after glimpses 1..steps-1 of a rule with one bar."""
    return [np.inf if t < least else bar for t in range(1, steps)]


def mean_cost(score: np.ndarray, bars: Bars, costs: Sequence[float]) -> float:
    return float(np.asarray(costs, np.float64)[glimpses_taken(score, bars) - 1].mean())


def fitted_bars(
    score: np.ndarray, right: np.ndarray, costs: Sequence[float], budget: float, least: int = 1
) -> list[float]:
    """Bars that make the most images right within the budget, one for each glimpse but the last.

    With one bar, an image whose score stays low takes all glimpses, also where they help nothing.
    Each glimpse gets a price, and the bars maximise the share of right answers minus the mean
    price, one bar after another from the last to the first until none changes; the price is the
    lowest within the budget. What is left of the budget goes into the first bar.

    Args:
        score: [T, N], scores after each glimpse.
        right: bool [T, N], whether the answer after each glimpse is right.
        costs, budget, least: as for :func:`one_bar`, with its errors.
    """
    _check_budget(costs, budget, least)
    spread = np.asarray(costs, np.float64) / max(costs[-1] - costs[0], 1e-12)
    within = [np.inf] * (least - 1) + [-np.inf] * (len(score) - least)
    beyond = within
    low, high = -6.0, 2.0  # of log10 of the price
    for _ in range(30):
        middle = (low + high) / 2
        bars = _bars_at_price(score, right - 10.0**middle * spread[:, None], least)
        if mean_cost(score, bars, costs) <= budget:
            within, high = bars, middle
        else:
            beyond, low = bars, middle
    if beyond is not within and len(score) > least:
        beyond = _first_bar_lowered(score, beyond, costs, budget, least)
    return max((within, beyond), key=lambda bars: _share_right(score, right, bars))


def _bars_at_price(score: np.ndarray, worth: np.ndarray, least: int) -> list[float]:
    """Bars that maximise the mean worth [T, N] of the glimpses after which images leave."""
    steps = len(score)
    bars = [np.inf] * (steps - 1)
    for turn in range(5):
        before = list(bars)
        for t in reversed(range(least - 1, steps - 1)):
            stays = np.ones(score.shape[1], bool)
            if turn:  # at first as if every image came so far
                stays = glimpses_taken(score[: t + 1], bars[:t]) == t + 1
            stays &= np.isfinite(score[t])
            later = glimpses_taken(score[t + 1 :], bars[t + 1 :]) + t
            leaving_gains = (worth[t] - np.take_along_axis(worth, later[None], 0)[0])[stays]
            if len(leaving_gains):
                bars[t] = _best_bar(score[t][stays], leaving_gains)
        if bars == before:
            break
    return bars


def _best_bar(score: np.ndarray, gains: np.ndarray) -> float:
    """Of 100 bars with as many scores between each, the one with the largest sum of gains above."""
    order = np.argsort(-score, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(gains[order])])
    counts = np.unique(np.linspace(0, len(score), 101).round().astype(int))
    best = int(counts[np.argmax(sums[counts])])
    if best in (0, len(score)):
        return -np.inf if best else np.inf
    above, below = score[order[best - 1]].astype(np.float64), score[order[best]]
    return float((above + below) / 2)


def _first_bar_lowered(
    score: np.ndarray, bars: list[float], costs: Sequence[float], budget: float, least: int
) -> list[float]:
    first = np.sort(score[least - 1][np.isfinite(score[least - 1])]).astype(np.float64)
    low, high = 0, len(first)
    while low < high:
        middle = (low + high + 1) // 2
        bars[least - 1] = first[middle - 1]
        if mean_cost(score, bars, costs) <= budget:
            low = middle
        else:
            high = middle - 1
    bars[least - 1] = float(first[low - 1]) if low else -np.inf
    return bars


def _share_right(score: np.ndarray, right: np.ndarray, bars: Bars) -> float:
    taken = glimpses_taken(score, bars)
    return float(np.take_along_axis(right, taken[None] - 1, 0).mean())


def _check_budget(costs: Sequence[float], budget: float, least: int) -> None:
    if not budget >= costs[least - 1]:
        raise ValueError(
            f"budget must be at least {costs[least - 1]:.6g}, the cost of "
            f"{least} glimpse{'s' * (least > 1)}, got {budget:.6g}"
        )
