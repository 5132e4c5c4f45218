"""The engine on a GPU: latency of one image, throughput with many slots, launches per step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.autograd import DeviceType

from mgnet_fast import Engine, Never, create_model
from mgnet_fast.engine.runners.choice import KINDS
from mgnet_fast.models import MGNet
from mgnet_fast.models.mgnet.published import published_forward

from ..cpu.engine_cases import leaving_by_halves
from ..interleaved import compare
from ..rows import Row
from .device_time import DeviceClock

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
# Relative to the largest logit, for a network of random weights whose regions follow from it.
TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
SHARE_OF_MULTIPLY_ADDS = 0.74  # MGNet's four glimpses relative to FF-Net
SHARE_OF_IDEAL = 0.9
PEER = "published algorithm, eager NCHW"

Logits = Callable[[], Tensor]


@dataclass(frozen=True)
class Case:
    """``compiled``: whether to measure peers that compile for half a minute or more."""

    network: str
    precision: str
    slots: int
    images: int
    side: int
    glimpses: int = 4
    compiled: bool = False

    @property
    def name(self) -> str:
        slots = "1 slot" if self.slots == 1 else f"{self.slots} slots"
        return f"mgnet_{self.network}, T = {self.glimpses}, {slots}, {self.side} px"


# Most important first, because the part may run out of time.
CASES = (
    Case("resnet18", "bf16", 256, 1024, 224, compiled=True),
    Case("resnet18", "bf16", 1, 1, 224, compiled=True),
    Case("resnet50", "bf16", 256, 1024, 224),
    Case("resnet50", "bf16", 1, 1, 224),
    Case("resnet18", "fp32", 1, 1, 224),
    Case("resnet18", "fp32", 256, 1024, 224),
    Case("resnet50", "fp32", 1, 1, 224),
    Case("resnet50", "fp32", 256, 1024, 224),
)
TINY = (Case("toy", "fp32", 4, 10, 40, 3, compiled=True), Case("toy", "fp32", 1, 1, 40, 3))


def rows(clock: DeviceClock, cases: tuple[Case, ...], seconds: float) -> Iterator[Row | str]:
    """Rows against eager peers first, then against compiled ones."""
    runner = "cudagraph" if clock.device == "cuda" else "eager"
    precisions = next(kind.precisions for kind in KINDS if kind.name == runner)
    # TF32 is not float32; without it both sides compute the same.
    torch.backends.cudnn.allow_tf32 = False
    late = []
    for case in cases:
        if case.precision not in precisions:
            yield f"{case.name}: runner {runner} does not run in {case.precision}"
            continue
        measured = _Measured(clock, case, runner, seconds)
        yield from measured.against_what_starts_at_once()
        if case.slots > 1:
            yield from measured.early_exit()
            yield from measured.launches()
        if case.compiled:
            late.append(measured)
    for measured in late:
        yield from measured.against_what_is_compiled()


def _network(name: str, device: str) -> MGNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(name).eval().to(device)


class _Measured:
    """A case: its networks, its images (bytes on the device), and the engine."""

    def __init__(self, clock: DeviceClock, case: Case, runner: str, seconds: float) -> None:
        self._clock, self._case, self._seconds = clock, case, seconds
        self._model = _network(f"mgnet_{case.network}", clock.device)
        self._runner = runner
        shape = (case.images, self._model.config.in_chans, case.side, case.side)
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        self._images = images.to(clock.device)
        self._engine = self._engine_for(self._model)
        self._base = Row(
            suite="engine", op="throughput" if case.slots > 1 else "latency", case=case.name,
            backend=runner, dtype=DTYPES[case.precision], peer="", threads=1, deviation=0.0,
            tolerance=0.0,
        )  # fmt: skip

    def against_what_starts_at_once(self) -> Iterator[Row | str]:
        published = self._batches(self._published)
        expected = published()
        difference = (_logits(self._engine, self._images) - expected).abs().max()
        deviation = float(difference / expected.abs().max())
        yield from self._row(PEER, published, deviation=deviation)
        large = self._engine_for(_network(f"ffnet_{self._case.network}", self._clock.device))
        yield from self._row(
            f"ffnet_{self._case.network} in the engine",
            partial(_logits, large, self._images),
            target=1 / SHARE_OF_MULTIPLY_ADDS,
        )

    def against_what_is_compiled(self) -> Iterator[Row | str]:
        if self._clock.device != "cuda":
            yield f"{self._case.name}: torch.compile is left out of a dry run"
            return
        large = _network(f"ffnet_{self._case.network}", self._clock.device)
        peers = {
            f"{PEER}, torch.compile": self._published,
            f"ffnet_{self._case.network}, torch.compile": lambda images: large(images)["n_logit"][
                -1
            ],
        }
        for name, function in peers.items():
            torch._dynamo.reset()
            compiled = torch.compile(function, mode="reduce-overhead", dynamic=False)
            yield from self._row(name, self._batches(compiled))

    def early_exit(self) -> Iterator[Row | str]:
        """Half of the images leave after each glimpse, compared with none before the last."""
        early = self._engine.with_exit(leaving_by_halves(self._engine, self._images))
        glimpses = [result.glimpses for result in early.predict(self._images)]
        mean = sum(glimpses) / len(glimpses)
        ideal = self._model.config.num_glimpses / mean
        name = f"{self._case.name}, {mean:.2f} glimpses on average"
        comparison = compare(
            partial(early.predict, self._images),
            partial(self._engine.predict, self._images),
            self._seconds,
            7,
        )
        base = replace(
            self._base, op="early exit", case=name, target=SHARE_OF_IDEAL * ideal,
            peer=f"no early exit; at most {ideal:.2f} times slower",
        )  # fmt: skip
        yield base.measured(comparison)

    def launches(self) -> Iterator[str]:
        """The number of launches per step, counted by the profiler."""
        if self._clock.device != "cuda":
            return
        steps = -(-self._case.images // self._case.slots) * self._model.config.num_glimpses
        with torch.profiler.profile() as profile:
            self._engine.predict(self._images)
        calls = Counter(event.name for event in profile.events())
        kernels = sum(
            event.device_type == DeviceType.CUDA and not event.name.startswith("Mem")
            for event in profile.events()
        )
        alone = sum(count for name, count in calls.items() if "LaunchKernel" in name)
        yield (
            f"{self._case.name}, {self._base.dtype}: {steps} steps took "
            f"{calls['cudaGraphLaunch']} graph launches, {alone} launches of single kernels, "
            f"{calls['cudaMemcpyAsync']} copies; {kernels / steps:.0f} kernels a step"
        )

    def _row(
        self, peer: str, call: Logits, *, deviation: float = 0.0, target: float | None = None
    ) -> Iterator[Row | str]:
        tolerance = TOLERANCE[self._case.precision]
        base = replace(
            self._base, peer=peer, deviation=deviation, tolerance=tolerance, target=target
        )
        if not deviation <= tolerance:
            yield base
            return
        ours = partial(_logits, self._engine, self._images)
        try:
            yield base.measured(compare(ours, call, self._seconds, 7))
        except Exception as error:  # a failing peer must not stop the others
            first = str(error).splitlines()[0][:200]
            yield f"{base.case}, {base.dtype}, {peer}: {type(error).__name__}: {first}"

    def _engine_for(self, model: MGNet) -> Engine:
        return Engine(
            model, device=self._clock.device, precision=self._case.precision,
            slots=self._case.slots, runner=self._runner, exit=Never(),
        )  # fmt: skip

    def _published(self, images: Tensor) -> Tensor:
        return published_forward(self._model, images)["n_logit"][-1]

    def _batches(self, forward: Callable[[Tensor], Tensor]) -> Logits:
        """All images in batches of the engine's slots; logits on the host."""
        is_lower = self._case.precision != "fp32"

        def run() -> Tensor:
            lowered = torch.autocast(self._clock.device, torch.bfloat16) if is_lower else None
            with torch.no_grad(), lowered or nullcontext():
                found = [
                    forward(each).float().cpu() for each in self._images.split(self._case.slots)
                ]
            return torch.cat(found)

        return run


def _logits(engine: Engine, images: Tensor) -> Tensor:
    return torch.stack([prediction.logits for prediction in engine.predict(images)])
