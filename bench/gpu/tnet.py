"""TNet on a GPU: against the network written by hand, and against one look at full resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mgnet_fast import Engine, Never, create_model

from ..interleaved import compare
from ..rows import Row
from ..tnet.by_hand import eager_tnet
from .device_time import DeviceClock

TOLERANCE = 1e-3  # relative to the largest logit, where both look at the same cells


@dataclass(frozen=True)
class Case:
    network: str
    twin: str
    slots: int
    side: int

    @property
    def name(self) -> str:
        slots = "1 slot" if self.slots == 1 else f"{self.slots} slots"
        return f"{self.network}, {slots}, {self.side} px, bytes"


CASES = (
    Case("tnet_efficientnet_b0_fmow896", "ffnet_efficientnet_b0", 32, 896),
    Case("tnet_efficientnet_b0_fmow896", "ffnet_efficientnet_b0", 1, 896),
)
TINY = (Case("tnet_toy", "ffnet_toy", 2, 90),)


def rows(clock: DeviceClock, cases: tuple[Case, ...], seconds: float) -> Iterator[Row | str]:
    """Two rows a case, in float32 without TF32."""
    torch.backends.cudnn.allow_tf32 = False
    for case in cases:
        try:
            yield from _rows(clock, case, seconds)
        except Exception as error:  # a failing case must not stop what follows
            first = str(error).splitlines()[0][:200]
            yield f"{case.name}: {type(error).__name__}: {first}"


def _rows(clock: DeviceClock, case: Case, seconds: float) -> Iterator[Row]:
    model = _network(case.network, clock.device, antialias=False)
    generator = torch.Generator().manual_seed(0)
    shape = (case.slots, model.config.in_chans, case.side, case.side)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(clock.device)
    ours = partial(_logits, _engine(model, clock.device, case.slots), images)
    large = _engine(_network(case.twin, clock.device), clock.device, case.slots)

    def by_hand() -> Tensor:
        with torch.no_grad():
            return eager_tnet(model, images).cpu()

    expected = by_hand()
    deviation = float((ours() - expected).abs().max() / expected.abs().max())
    base = Row(
        suite="engine", op="tnet", case=case.name, backend="eager", dtype="float32", peer="",
        threads=1, deviation=deviation, tolerance=TOLERANCE,
    )  # fmt: skip
    hand = replace(base, peer="pad, unfold, gather, resize, eager", target=3)
    yield _measured(hand, ours, by_hand, seconds) if deviation <= TOLERANCE else hand
    twin = replace(base, peer=f"{case.twin} at {case.side} px", target=4, deviation=0.0)
    yield _measured(twin, ours, partial(_logits, large, images), seconds)


def _measured(row: Row, ours: Callable[[], Any], theirs: Callable[[], Any], seconds: float) -> Row:
    return row.measured(compare(ours, theirs, seconds, 7))


def _network(name: str, device: str, **options: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(name, **options).eval().to(device)


def _engine(model: Any, device: str, slots: int) -> Engine:
    return Engine(model, device=device, slots=slots, runner="eager", exit=Never())


def _logits(engine: Engine, images: Tensor) -> Tensor:
    return torch.stack([prediction.logits for prediction in engine.predict(images)])
