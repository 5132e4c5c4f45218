"""Batch 1 on a GPU, where launches dominate: wall time per call, and inside a CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mgnet_fast import glimpse, glimpse_from_logits
from mgnet_fast.ops.backends import choice as backends

from ..interleaved import Spread, compare
from ..peers import eager_from_region
from ..rows import Row
from .device_time import DeviceClock

_CALLS = 50  # consecutive calls before the host waits


def rows(clock: DeviceClock, seconds: float) -> Iterator[Row | str]:
    image = torch.randn(1, 3, 224, 224, device=clock.device)
    region = torch.tensor([[0.4, 0.1, -0.2]], device=clock.device)
    logits = torch.tensor([[0.3, 0.1, -0.2]], device=clock.device)
    exact = glimpse(image.cpu().double(), region.cpu().double(), 96, backend="reference")
    for backend in backends.backends():
        if backend.device != clock.device or not backend.available or backend.name == "reference":
            continue
        ours = partial(glimpse, image, region, 96, backend=backend.name)
        peer = partial(eager_from_region, image, region, 96)
        base = Row(
            suite="glimpse", op="batch 1", case="(1,3,224,224) -> 96", backend=backend.name,
            dtype="float32", peer="eager", threads=1, tolerance=2e-6,
            deviation=float((ours().cpu().double() - exact).abs().max()),
        )  # fmt: skip
        if not base.deviation <= base.tolerance:
            yield base
            continue
        many = compare(_many(clock, ours), _many(clock, peer), seconds, 7)
        yield base.measured(replace(many, ours=_each(many.ours), peer=_each(many.peer)))
        fused = partial(glimpse_from_logits, image, logits, 96, backend=backend.name)
        if clock.device == "cuda":
            for name, call in (("glimpse", ours), ("glimpse_from_logits", fused)):
                microseconds = _replayed(call) * 1e6
                yield f"{name}, batch 1, {backend.name}, in a CUDA graph: {microseconds:.2f} us"


def _each(many: Spread) -> Spread:
    return Spread(many.p20 / _CALLS, many.p50 / _CALLS, many.p80 / _CALLS)


def _many(clock: DeviceClock, call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(_CALLS):
            call()
        clock.synchronize()

    return run


def _replayed(call: Callable[[], object | Tensor]) -> float:
    """Seconds per call inside one graph of many."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    # first launches load modules, which is not allowed in a capture
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS):
            call()
    times = []
    for _ in range(20):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        graph.replay()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return sorted(times)[len(times) // 2] / _CALLS
