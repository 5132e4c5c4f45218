"""The fixture of all benchmarks: check parity, time interleaved pairs, write a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench import interleaved, rows
from bench.interleaved import Call
from mgnet_fast.ops.backends import choice as backends


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mgnet_fast")
    group.addoption("--rows", type=Path, help="write the measured rows to this JSON file")
    group.addoption("--seconds", type=float, default=2.0, help="time for each comparison")
    group.addoption("--compilers", action="store_true", help="what compiles for minutes, too")
    group.addoption("--bench-threads", type=int, default=1, help="threads of every contestant")


@pytest.fixture(scope="session")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    count: int = request.config.getoption("--bench-threads")
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield count
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def measured_rows(request: pytest.FixtureRequest) -> Iterator[list[rows.Row]]:
    collected: list[rows.Row] = []
    yield collected
    path = request.config.getoption("--rows")
    if path is not None and collected:
        rows.write(path, collected)


class Versus:
    """Compare a case with a peer and write a row; refuse to time unequal results."""

    def __init__(
        self, benchmark: BenchmarkFixture, collected: list[rows.Row], threads: int, seconds: float
    ) -> None:
        self.benchmark = benchmark
        self.collected = collected
        self.threads = threads
        self.seconds = seconds

    def __call__(
        self,
        ours: Call,
        theirs: Call,
        /,
        *,
        deviation: float,
        tolerance: float,
        longer: float = 1.0,
        **facts: Any,
    ) -> None:
        """``longer``: times the usual duration, where a small difference matters."""
        assert deviation <= tolerance, f"parity first: off by {deviation}, allowed {tolerance}"
        row = rows.Row(
            backend=backends.choose("cpu", None),
            threads=self.threads,
            deviation=deviation,
            tolerance=tolerance,
            **facts,
        )
        compared = interleaved.compare(ours, theirs, longer * self.seconds)
        row = row.measured(compared)
        self.collected.append(row)
        self.benchmark.extra_info.update(asdict(row))
        # pytest-benchmark's own table; the measurement is the row above.
        rounds = min(20, max(3, round(self.seconds / row.ours_seconds["p50"])))
        self.benchmark.pedantic(ours, rounds=rounds)
        print(
            f"\n{row.op:24} {row.case:40} {row.peer:28} "
            f"{row.speedup['p20']:6.2f} {row.speedup['p50']:6.2f} {row.speedup['p80']:6.2f}"
            + "   the median, 95 %: {:.3f} to {:.3f}".format(*compared.median_interval)
            + (f"   target {row.target:g}" if row.target else "")
        )


@pytest.fixture
def versus(
    benchmark: BenchmarkFixture,
    measured_rows: list[rows.Row],
    threads: int,
    request: pytest.FixtureRequest,
) -> Versus:
    return Versus(benchmark, measured_rows, threads, request.config.getoption("--seconds"))
