"""Times two things against each other on a noisy machine: interleaved, in one process.

The demo has its own copy of this code, because benchmarks are not installed with the package, so
that they can compare any installed version.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]
_SAMPLE_SECONDS = 2e-3  # quick calls are repeated to fill a sample of this length


@dataclass(frozen=True)
class Spread:
    """The 20th, 50th and 80th percentile of a set of measurements."""

    p20: float
    p50: float
    p80: float

    @staticmethod
    def of(values: list[float]) -> Spread:
        return Spread(*(float(value) for value in np.percentile(values, (20, 50, 80))))


@dataclass(frozen=True)
class Comparison:
    """Seconds a call of both, and how many times longer the peer takes, pair by pair.

    ``median_interval`` is the 95 % interval of the median of the pairs' ratios.
    """

    ours: Spread
    peer: Spread
    speedup: Spread
    pairs: int
    median_interval: tuple[float, float]

    @staticmethod
    def of(ours: list[float], peer: list[float]) -> Comparison:
        ratios = [slow / fast for slow, fast in zip(peer, ours, strict=True)]
        return Comparison(
            Spread.of(ours), Spread.of(peer), Spread.of(ratios), len(ratios), _of_median(ratios)
        )


def _of_median(values: list[float]) -> tuple[float, float]:
    """By the sign test: between how many values on either side the median lies at 95 %."""
    count, ordered = len(values), sorted(values)
    outside = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return ordered[outside], ordered[count - 1 - outside]


def compare(ours: Call, peer: Call, seconds: float = 2.0, min_pairs: int = 15) -> Comparison:
    """Runs ``ours`` and ``peer`` alternately for about ``seconds``, swapping who goes first."""
    repeats = {call: _repeats(call) for call in (ours, peer)}
    times: dict[Call, list[float]] = {ours: [], peer: []}
    was_enabled = gc.isenabled()
    gc.disable()  # a collection would hit one of a pair
    try:
        deadline = time.perf_counter() + seconds
        order = [ours, peer]
        while time.perf_counter() < deadline or len(times[ours]) < min_pairs:
            for call in order:
                times[call].append(_sample(call, repeats[call]))
            order.reverse()
    finally:
        if was_enabled:
            gc.enable()
    return Comparison.of(times[ours], times[peer])


def _sample(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _repeats(call: Call) -> int:
    for _ in range(3):  # warm up: allocator, code caches, compilers
        call()
    return max(1, min(1000, int(_SAMPLE_SECONDS / max(_sample(call, 1), 1e-7))))
