"""The loop in TensorRT, TensorRT-RTX and torch_tensorrt, against the eager network on a GPU.

A library that cannot run gives its reason, and the others continue, so one run shows which of them
this GPU, driver and set of versions can use.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast import MGNet, create_model
from mgnet_fast.engine.artefacts.tensorrt_library import FULL, RTX, import_library, is_installed
from mgnet_fast.engine.artefacts.tensorrt_session import EngineSession
from mgnet_fast.export import TOLERANCES, BatchRange, ExportOptions
from mgnet_fast.export.formats.tensorrt import (
    check_tensorrt,
    check_tensorrt_rtx,
    why_rtx_cannot_run,
    write_tensorrt,
    write_tensorrt_rtx,
)
from mgnet_fast.export.graphs.loop import INPUT_NAME, OUTPUT_NAMES, PlainLoop

from ..rows import Row
from .device_time import DeviceClock

Loop = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
NETWORKS = (("mgnet_resnet18", 224), ("mgnet_toy", 112))
BATCHES = (1, 64)
_LOW_PRECISION_TOLERANCE = {"bf16": 5e-2}  # relative to the largest logit; 8 bits of mantissa


@dataclass(frozen=True)
class Way:
    """A library in one precision; ``build`` returns the loop, or raises with the reason."""

    name: str
    precision: str
    build: Callable[[MGNet, ExportOptions, str, Path], Loop]
    graphs: bool = False


def rows(clock: DeviceClock, seconds: float, out: Path) -> Iterator[Row | str]:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    yield _versions()
    dry = clock.device == "cpu"
    for name, side in NETWORKS[-1:] if dry else NETWORKS:
        torch.manual_seed(0)
        model = create_model(name, pretrained=name == "mgnet_toy").eval()
        for way in dry_ways() if dry else ways():
            label = f"{name}, {way.name}, {way.precision}"
            begin = time.perf_counter()
            options = _options(way, side)
            try:
                loop = way.build(model, options, way.precision, out)
                yield f"{label}: built in {time.perf_counter() - begin:.0f} s"
                for batch in BATCHES:
                    yield _measured(clock, seconds, model, way, loop, (name, side, batch))
            except Exception as error:  # libraries raise many types
                if not dry:
                    traceback.print_exc()  # to the part's log
                yield f"{label}: NOT RUN: {type(error).__name__}: {str(error).splitlines()[0]}"


def ways() -> tuple[Way, ...]:
    """The attempts in order of importance, as a run may be cut short."""
    return (
        Way("tensorrt", "fp16", _full),
        Way("tensorrt_rtx", "fp16", _rtx),
        Way("torch_tensorrt plugin", "fp16", _torch_tensorrt(True)),
        Way("torch_tensorrt GridSample", "fp16", _torch_tensorrt(False)),
        Way("tensorrt", "fp32", _full),
        Way("tensorrt_rtx", "fp32", _rtx),
        Way("torch_tensorrt plugin", "fp32", _torch_tensorrt(True)),
        Way("torch_tensorrt plugin", "bf16", _torch_tensorrt(True)),
        Way("torch_tensorrt plugin, CUDA graphs", "fp16", _torch_tensorrt(True), graphs=True),
        Way("torch_tensorrt GridSample, CUDA graphs", "fp16", _torch_tensorrt(False), graphs=True),
    )


def dry_ways() -> tuple[Way, ...]:
    """Each library once, and the exported module itself instead of an engine."""

    def module(model: MGNet, options: ExportOptions, precision: str, out: Path) -> Loop:
        return PlainLoop(model, options)

    return (Way("stand-in", "fp32", module), *ways()[:3])


def _options(way: Way, side: int) -> ExportOptions:
    batch = BatchRange(1, 8, max(BATCHES))
    in_file: Any = way.precision if way.name in (FULL, RTX) else "fp32"
    return ExportOptions(batch, (side, side), precision=in_file)


def _measured(
    clock: DeviceClock,
    seconds: float,
    model: MGNet,
    way: Way,
    loop: Loop,
    case: tuple[str, int, int],
) -> Row:
    name, side, batch = case
    eager = create_model(name, pretrained=False).eval().to(clock.device)
    eager.load_state_dict(model.state_dict())
    shape = (batch, model.config.in_chans, side, side)
    sets = [_pictures(shape, clock.device) for _ in range(3)]
    with torch.inference_mode(), _graphs(way, loop) as run:
        wanted = eager(sets[0])["n_logit"]
        found = run(sets[0])[0]
        deviation = float((found - wanted).abs().max() / wanted.abs().max())
        row = Row(
            suite="tensorrt", op=name, case=f"batch {batch}", backend=way.name,
            dtype=way.precision, peer="eager, float32", threads=1, deviation=deviation,
            tolerance=_tolerance(way.precision),
        )  # fmt: skip
        if not row.deviation <= row.tolerance:
            return row
        ours = [_bound(run, images) for images in sets]
        peer = [_bound(eager, images) for images in sets]
        return row.measured(clock.compare(ours, peer, seconds))


def _pictures(shape: tuple[int, int, int, int], device: str) -> Tensor:
    """Smooth random pictures; white noise would exaggerate float32 coordinates."""
    coarse = torch.randn(*shape[:2], 14, 14, device=device)
    return F.interpolate(coarse, shape[2:], mode="bicubic", align_corners=True)


def _tolerance(precision: str) -> float:
    low = _LOW_PRECISION_TOLERANCE.get(precision)
    return TOLERANCES[precision].logit if low is None else low


def _bound(call: Callable[[Tensor], object], images: Tensor) -> Callable[[], object]:
    return lambda: call(images)


def _graphs(way: Way, loop: Any) -> Any:
    return loop.cuda_graphs() if way.graphs else nullcontext(loop)


def _full(model: MGNet, options: ExportOptions, precision: str, out: Path) -> Loop:
    check_tensorrt()
    path = out / f"{FULL}.plan"
    write_tensorrt(model, path, options, timing_cache=out / "tensorrt.timing")
    return _session(FULL, path)


def _rtx(model: MGNet, options: ExportOptions, precision: str, out: Path) -> Loop:
    check_tensorrt_rtx()
    path = out / f"{RTX}.plan"
    write_tensorrt_rtx(model, path, options)
    reason = why_rtx_cannot_run(path)
    if reason is not None:
        raise RuntimeError(f"the engine was built ({path.stat().st_size >> 20} MiB), but {reason}")
    return _session(RTX, path)


def _session(name: str, path: Path) -> Loop:
    session = EngineSession(import_library(name), path)

    def run(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = session({INPUT_NAME: images})
        n_logit, regions, label = (found[each] for each in OUTPUT_NAMES)
        return n_logit, regions, label

    return run


def _torch_tensorrt(plugin: bool) -> Callable[[MGNet, ExportOptions, str, Path], Loop]:
    def build(model: MGNet, options: ExportOptions, precision: str, out: Path) -> Loop:
        from mgnet_fast.export.formats.torch_tensorrt import compile_torch_tensorrt

        return compile_torch_tensorrt(
            model, options, precision=precision, plugin=plugin, cache=out / "torch_tensorrt"
        )

    return build


def _versions() -> str:
    found = []
    for name in (FULL, RTX, "torch_tensorrt", "modelopt"):
        if not is_installed(name):
            found.append(f"{name} not installed")
        elif name in (FULL, RTX):
            found.append(f"{name} {import_library(name).__version__}")
        else:
            found.append(f"{name} installed")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{device}, torch {torch.__version__}: {', '.join(found)}"
