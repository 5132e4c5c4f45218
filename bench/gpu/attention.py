"""The attention pool on a GPU with a cold cache: against the paper's formulas and two products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mgnet_fast.functional import attention_pool
from mgnet_fast.ops.attention.attention_pool import attention_pool_reference
from mgnet_fast.ops.backends import choice as backends

from ..cpu.attention_by_hand import LAYOUTS, PEERS, case_name, goal
from ..rows import Row
from .device_time import DeviceClock

Pool = Callable[[Tensor, Tensor, Tensor], Tensor]  # map, global feature, u
Inputs = tuple[Tensor, Tensor, Tensor, Tensor]  # and the gradient of the result
# Of the largest result; float32 without TF32, half types rounded once.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2.0**-7}


@dataclass(frozen=True)
class Case:
    shape: tuple[int, int, int, int]
    layout: str
    dtype: torch.dtype


CASES = (
    Case((32, 512, 16, 16), "contiguous", torch.float32),
    Case((32, 512, 16, 16), "channels_last", torch.float32),
    Case((32, 512, 16, 16), "channels_last", torch.bfloat16),
    Case((32, 256, 32, 32), "contiguous", torch.float32),
    Case((32, 256, 32, 32), "channels_last", torch.bfloat16),
    Case((1, 512, 16, 16), "contiguous", torch.float32),
)
TINY = (Case((2, 8, 4, 4), "contiguous", torch.float32),)


def rows(clock: DeviceClock, cases: tuple[Case, ...], seconds: float) -> Iterator[Row | str]:
    """One row a case, direction and peer; a note for what could not run."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    backend = backends.choose(clock.device, None)
    if backend == "reference":
        yield f"no backend but the reference can run on {clock.device}"
        return
    for case in cases:
        for with_gradients in (False, True):
            try:
                yield from _rows(clock, case, backend, seconds, with_gradients=with_gradients)
            except Exception as error:  # a failing case must not stop what follows
                first = str(error).splitlines()[0][:200]
                yield f"{case_name(case.shape, case.layout)}: {type(error).__name__}: {first}"


def _rows(
    clock: DeviceClock, case: Case, backend: str, seconds: float, *, with_gradients: bool
) -> Iterator[Row]:
    sets = _inputs(clock, case)

    def ours(local: Tensor, feature: Tensor, u: Tensor) -> Tensor:
        return attention_pool(local, u, backend=backend)[0]

    def exact(local: Tensor, feature: Tensor, u: Tensor) -> Tensor:
        return attention_pool_reference(local.double(), u.double())[0].to(local.dtype)

    def run(pool: Pool, inputs: Inputs) -> Tensor:
        local, feature, u, incoming = inputs
        if not with_gradients:
            return pool(local, feature, u)
        wanted = local.detach().requires_grad_(), u.detach().requires_grad_()
        found = pool(wanted[0], feature, wanted[1])
        return torch.autograd.grad(found, wanted, incoming)[0]

    def calls(pool: Pool) -> list[Callable[[], object]]:
        return [partial(run, pool, inputs) for inputs in sets]

    expected = run(exact, sets[0])
    base = Row(
        suite="attention", op="pool, forward + backward" if with_gradients else "pool",
        case=case_name(case.shape, case.layout), backend=backend,
        dtype=str(case.dtype).removeprefix("torch."), peer="", threads=1,
        deviation=float((run(ours, sets[0]) - expected).abs().max() / expected.abs().max()),
        tolerance=TOLERANCE[case.dtype], ours_peak_bytes=clock.peak_bytes(calls(ours)[0]),
    )  # fmt: skip
    if not base.deviation <= base.tolerance:
        yield base  # outside its tolerance: not timed
        return
    for name, peer in PEERS.items():
        target = goal(name, case.shape[0], with_gradients=with_gradients)
        peak = clock.peak_bytes(calls(peer)[0])
        row = replace(base, peer=name, target=target, peer_peak_bytes=peak)
        yield row.measured(clock.compare(calls(ours), calls(peer), seconds))


def _inputs(clock: DeviceClock, case: Case) -> list[Inputs]:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(clock.device, case.dtype)

    def one() -> Inputs:
        batch, channels, *_ = case.shape
        local = drawn(*case.shape).to(memory_format=LAYOUTS[case.layout])
        u = drawn(channels) / channels**0.5
        return local, drawn(batch, channels), u, drawn(batch, channels)

    first = one()
    copies = clock.sets(first[0].numel() * first[0].element_size())
    return [first, *(one() for _ in range(copies - 1))]
