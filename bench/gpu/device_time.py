"""Device time with a cold cache.

Each case has several copies of its inputs, more than the cache holds, and calls rotate through
them. On a GPU the time is taken between two events around each call. To exclude waiting for the
host, the device first gets a millisecond of other work, behind which the calls queue up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from ..interleaved import Comparison

Call = Callable[[], object]
_CALLS_A_SAMPLE = 8


class DeviceClock:
    """Times calls on ``device``: "cuda", or "cpu" to test a program."""

    def __init__(self, device: str) -> None:
        self.device = device
        if device == "cuda":
            side = 4096  # about a millisecond
            self._operand = torch.randn(side, side, device=device)
            self.cache_bytes = torch.cuda.get_device_properties(device).L2_cache_size
        else:
            self.cache_bytes = 1 << 16

    def sets(self, set_bytes: int) -> int:
        """The number of copies of inputs of ``set_bytes`` that keeps the cache cold."""
        return max(2, -(-2 * self.cache_bytes // max(set_bytes, 1)) + 1)

    def sample(self, calls: Sequence[Call]) -> float:
        """Seconds per call: the median over ``calls``, each made once."""
        times = self._on_gpu(calls) if self.device == "cuda" else _on_cpu(calls)
        return sorted(times)[len(times) // 2]

    def _on_gpu(self, calls: Sequence[Call]) -> list[float]:
        torch.mm(self._operand, self._operand)
        marks = []
        for call in calls:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            marks.append((begin, end))
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) * 1e-3 for begin, end in marks]

    def compare(self, ours: Sequence[Call], peer: Sequence[Call], seconds: float) -> Comparison:
        """Alternates between the two; each call of a sequence has its own inputs."""
        order = [ours, peer]
        times: dict[int, list[float]] = {0: [], 1: []}
        for calls in order:
            for call in calls:  # warm-up: allocator, kernels, compilers
                call()
        self.synchronize()
        deadline, start = time.perf_counter() + seconds, 0
        while time.perf_counter() < deadline or len(times[0]) < 7:
            for which in (0, 1) if start % 2 == 0 else (1, 0):
                calls = order[which]
                turn = [calls[(start + k) % len(calls)] for k in range(_CALLS_A_SAMPLE)]
                times[which].append(self.sample(turn))
            start += _CALLS_A_SAMPLE + 1
        return Comparison.of(times[0], times[1])

    def synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def peak_bytes(self, call: Call) -> int:
        """Peak memory during a call beyond what was allocated before; 0 if unknown."""
        if self.device != "cuda":
            return 0
        call()
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def copy_bandwidth(self) -> float:
        """Bytes per second, read and written, of one large device-to-device copy."""
        count = (1 << 28) if self.device == "cuda" else (1 << 20)
        source = torch.zeros(count, dtype=torch.float32, device=self.device)
        target = torch.empty_like(source)
        seconds = min(self.sample([lambda: target.copy_(source)] * 5) for _ in range(5))
        return 2 * source.numel() * source.element_size() / seconds


def _on_cpu(calls: Sequence[Call]) -> list[float]:
    times = []
    for call in calls:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return times
