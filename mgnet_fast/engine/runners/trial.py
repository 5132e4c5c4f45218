"""Measures the time of a step in a fraction of a second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch

from .runner import Runner, StepInput

_SECONDS = 0.2


def median_step_seconds(runners: Sequence[Runner], rows: int) -> list[float]:
    """Median seconds per step of each runner on ``rows`` images, interleaved."""
    steps = [_TrialStep(runner, rows) for runner in runners]
    for step in steps:
        step.seconds()  # warm-up
    taken: list[list[float]] = []
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end or not taken:
        taken.append([step.seconds() for step in steps])
    return [statistics.median(column) for column in zip(*taken, strict=True)]


class _TrialStep:
    """A first step on images of the glimpse size, or of 224 pixels if there is none."""

    def __init__(self, runner: Runner, rows: int) -> None:
        config, device = runner.config, runner.device
        height, width = config.glimpse_shape((224, 224))
        with torch.inference_mode(False):
            self._images = torch.zeros(rows, config.in_chans, height, width, device=device)
            self._region = runner.initial_regions(rows)
            self._tokens = runner.new_tokens(rows)
            self._length = torch.ones(rows, dtype=torch.int64, device=device)
        self._runner = runner

    def seconds(self) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            self._runner.step(StepInput(self._images, self._region, self._tokens, self._length))
            if self._runner.device.type == "cuda":
                torch.cuda.synchronize(self._runner.device)
        return time.perf_counter() - start
