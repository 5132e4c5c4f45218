"""The glimpse on a GPU with a cold cache: device time, share of copy bandwidth, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mgnet_fast import glimpse
from mgnet_fast.ops.backends import choice as backends

from ..cpu.glimpse_cases import SMALL, WHOLE, Case
from ..rows import Row
from . import peers as gpu_peers
from .device_time import DeviceClock
from .sectors import SECTOR_BYTES, sectors_read

# One relative rounding to the type, in addition to the 2e-6 of every result.
ROUNDING = {torch.float32: 0.0, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
TOLERANCE = 2e-6
_CHECKED_IMAGES = 4


@dataclass(frozen=True)
class GpuCase:
    """``forward`` and ``backward`` are the goals: how many times faster than each peer."""

    case: Case
    dtype: torch.dtype
    forward: dict[str, float]
    backward: dict[str, float] | None = None


def _large(regions: str) -> Case:
    return Case((256, 3, 224, 224), 96, regions, 0, None)


CASES = (
    GpuCase(_large(WHOLE), torch.float32, {"eager": 4, "torch.compile": 1.5}, {"eager": 8}),
    GpuCase(_large(WHOLE), torch.bfloat16, {"eager": 4, "torch.compile": 1.5}),
    GpuCase(_large(WHOLE), torch.uint8, {"eager": 4, "torch.compile": 1.5}),
    GpuCase(_large(SMALL), torch.float32, {"eager": 5}, {"eager": 8}),
    GpuCase(_large(SMALL), torch.bfloat16, {"eager": 5}),
    GpuCase(_large(SMALL), torch.uint8, {"eager": 5}),
    GpuCase(Case((256, 1, 112, 112), 28, SMALL, 0, None), torch.float32, {}, {}),
    GpuCase(Case((8, 3, 1024, 1024), 96, WHOLE, 0, None), torch.float32, {}, {}),
    GpuCase(Case((1, 3, 4000, 3000), 96, WHOLE, 0, None), torch.uint8, {}),
)
TINY = (
    GpuCase(Case((2, 3, 20, 24), 8, WHOLE, 0, None), torch.float32, {"eager": 4}, {"eager": 8}),
    GpuCase(Case((2, 3, 20, 24), 8, SMALL, 0, None), torch.uint8, {}),
)


def rows(clock: DeviceClock, cases: tuple[GpuCase, ...], seconds: float) -> Iterator[Row | str]:
    """One row per case, backend, direction and peer; a note for what could not run."""
    bandwidth = clock.copy_bandwidth()
    yield f"device copy: {bandwidth / 1e9:.0f} GB/s, read and written"
    names = [
        backend.name
        for backend in backends.backends()
        if backend.device == clock.device and backend.available and backend.name != "reference"
    ]
    if not names:
        yield f"no backend but the reference can run on {clock.device}"
    for case in cases:
        for name in names:
            yield from _forward(clock, case, name, bandwidth, seconds)
            if case.backward is not None:
                yield from _backward(clock, case, name, seconds)


def _inputs(clock: DeviceClock, case: GpuCase) -> list[tuple[Tensor, Tensor]]:
    image, region = case.case.image(case.dtype), case.case.region()
    copies = clock.sets(image.numel() * image.element_size())
    return [(image.to(clock.device), region.to(clock.device)) for _ in range(copies)]


def _ours(backend: str, image: Tensor, region: Tensor, size: int) -> Tensor:
    constants = {}
    if image.dtype == torch.uint8:
        channels = image.shape[1]
        constants = {"mean": gpu_peers.MEAN[:channels], "std": gpu_peers.STD[:channels]}
    return glimpse(image, region, size, backend=backend, **constants)


def _deviation(samples: Tensor, image: Tensor, region: Tensor, size: int) -> float:
    image, region = image[:_CHECKED_IMAGES].cpu(), region[:_CHECKED_IMAGES].cpu()
    constants = {}
    if image.dtype == torch.uint8:
        constants = {
            "mean": [255 * each for each in gpu_peers.MEAN],
            "std": [255 * each for each in gpu_peers.STD],
        }
    exact = glimpse(image.double(), region.double(), size, backend="reference", **constants)
    error = (samples[:_CHECKED_IMAGES].cpu().double() - exact).abs()
    return float((error - ROUNDING.get(samples.dtype, 0.0) * exact.abs()).max().clamp(min=0))


def _forward(
    clock: DeviceClock, case: GpuCase, backend: str, bandwidth: float, seconds: float
) -> Iterator[Row | str]:
    inputs, size = _inputs(clock, case), case.case.size
    ours = partial(_ours, backend)
    image, region = inputs[0]
    samples = ours(image, region, size)
    moved = SECTOR_BYTES * sectors_read(image, case.case.region(), size)
    moved += samples.numel() * samples.element_size()
    base = Row(
        suite="glimpse", op="forward", case=case.case.name, backend=backend,
        dtype=str(case.dtype).removeprefix("torch."), peer="", threads=1, bytes_moved=moved,
        deviation=_deviation(samples, image, region, size),
        tolerance=TOLERANCE / (min(gpu_peers.STD) if case.dtype == torch.uint8 else 1),
        ours_peak_bytes=clock.peak_bytes(partial(ours, image, region, size)),
    )  # fmt: skip
    for row in _against(clock, case, base, ours, inputs, case.forward, seconds, backward=False):
        if isinstance(row, Row):
            row = replace(row, copy_share=moved / row.ours_seconds["p50"] / bandwidth)
        yield row


def _backward(
    clock: DeviceClock, case: GpuCase, backend: str, seconds: float
) -> Iterator[Row | str]:
    inputs, size = _inputs(clock, case), case.case.size
    image, region = inputs[0]
    # no sample exactly on a pixel, where derivatives jump
    few, inner = image[:2], region[:2] * 0.93
    exact = _region_gradient(partial(_ours, "reference"), few.double(), inner.double(), size)
    got = _region_gradient(partial(_ours, backend), few, inner, size)
    base = Row(
        suite="glimpse", op="forward + backward to the region", case=case.case.name,
        backend=backend, dtype=str(case.dtype).removeprefix("torch."), peer="", threads=1,
        deviation=float((got.double() - exact).abs().max() / exact.abs().max()), tolerance=1e-4,
    )  # fmt: skip
    ours = _with_backward(partial(_ours, backend))
    base = replace(base, ours_peak_bytes=clock.peak_bytes(partial(ours, image, region, size)))
    goals = case.backward or {}
    yield from _against(clock, case, base, ours, inputs, goals, seconds, backward=True)


def _with_backward(forward: gpu_peers.Peer) -> gpu_peers.Peer:
    return lambda image, region, size: _region_gradient(forward, image, region, size)


def _region_gradient(forward: gpu_peers.Peer, image: Tensor, region: Tensor, size: int) -> Tensor:
    region = region.detach().requires_grad_()
    samples = forward(image, region, size)
    (gradient,) = torch.autograd.grad(samples, region, torch.ones_like(samples))
    return gradient


def _against(
    clock: DeviceClock,
    case: GpuCase,
    base: Row,
    ours: gpu_peers.Peer,
    inputs: list[tuple[Tensor, Tensor]],
    goals: dict[str, float],
    seconds: float,
    *,
    backward: bool,
) -> Iterator[Row | str]:
    def calls(function: gpu_peers.Peer) -> list[Callable[[], object]]:
        return [partial(function, image, region, case.case.size) for image, region in inputs]

    if not base.deviation <= base.tolerance:
        yield base  # outside its tolerance: not timed
        return
    for name, make in gpu_peers.available(case.dtype, backward).items():
        where = f"{base.op}, {base.case}, {base.dtype}, {name}"
        try:
            peer = make()
            peer = _with_backward(peer) if backward else peer
            peak = clock.peak_bytes(calls(peer)[0])
            comparison = clock.compare(calls(ours), calls(peer), seconds)
        except Exception as error:  # a failing peer must not stop the others
            yield f"{where}: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
            continue
        row = replace(base, peer=name, target=goals.get(name), peer_peak_bytes=peak)
        yield row.measured(comparison)
