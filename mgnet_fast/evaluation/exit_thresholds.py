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


def bars_by_glimpse(
    score: np.ndarray, costs: Sequence[float], budget: float, least: int = 1
) -> list[float]:
    """Bars that let a fixed share of the images go after each glimpse, the most certain first.

    The shares are p_t ~ q^t, with q such that the mean cost is the budget. Arguments and errors
    are those of :func:`one_bar`.

    Source: Huang et al., "Multi-scale dense networks", 2018, section 4.2 (budgeted batch).
    """
    _check_budget(costs, budget, least)
    steps, count = score.shape
    shares = _shares(np.asarray(costs, np.float64)[least - 1 :], budget)
    remaining = np.nan_to_num(score.astype(np.float64), nan=-np.inf)
    stays = np.ones(count, bool)
    bars = [np.inf] * (least - 1)
    due = 0.0
    for t in range(least, steps):
        due += shares[t - least] * count
        leaving = int(due + 1e-9) - int(count - stays.sum())
        here = np.sort(remaining[t - 1][stays])[::-1]
        leaving = min(leaving, int(np.isfinite(here).sum()))
        if leaving <= 0:
            bars.append(np.inf)
            continue
        bar = here[leaving - 1]
        if leaving < len(here) and np.isfinite(here[leaving]):
            bar = (bar + here[leaving]) / 2
        bars.append(float(bar))
        stays &= remaining[t - 1] < bar
    return bars


def _shares(costs: np.ndarray, budget: float) -> np.ndarray:
    """p_t ~ q^t with sum p_t c_t = budget, or as close below as q in [1e-9, 1e9] allows."""
    low, high = -9.0, 9.0  # of log10 q
    shares = np.zeros(len(costs))
    for _ in range(60):
        middle = (low + high) / 2
        powers = 10.0 ** (middle * (np.arange(len(costs)) - (len(costs) - 1) * (middle > 0)))
        shares = powers / powers.sum()
        if float(shares @ costs) <= budget:
            low = middle
        else:
            high = middle
    return shares


def _check_budget(costs: Sequence[float], budget: float, least: int) -> None:
    if not budget >= costs[least - 1]:
        raise ValueError(
            f"budget must be at least {costs[least - 1]:.6g}, the cost of "
            f"{least} glimpse{'s' * (least > 1)}, got {budget:.6g}"
        )
