"""The kinds of files that a network can be written as, each with what it takes to prove it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..models import MGNet
from .aot import load_aot, write_aot
from .loop import Outputs
from .onnx import load_onnx, write_onnx
from .options import ExportOptions
from .tensorrt import (
    check_tensorrt,
    check_tensorrt_rtx,
    load_tensorrt,
    load_tensorrt_rtx,
    stand_in_of,
    why_rtx_cannot_run,
    why_tensorrt_cannot_run,
    write_tensorrt,
    write_tensorrt_rtx,
)

Writer = Callable[[MGNet, Path, ExportOptions], None]
Loader = Callable[[Path], Callable[[Tensor], Outputs]]


def _nothing() -> None:
    pass


def _always(path: Path) -> str | None:
    return None


@dataclass(frozen=True)
class Format:
    """How a file of one kind is written, and run.

    Attributes:
        file: its name.
        write: writes it; it may leave a stand-in beside it.
        load: the function from images to (n_logit, regions, label) that it holds.
        check: raises where it cannot be written on this machine.
        why_not_run: why it cannot be run on this machine, or None.
        stand_in: where the ONNX file is that it was built from, to be run in its place.
    """

    file: str
    write: Writer
    load: Loader
    check: Callable[[], None] = _nothing
    why_not_run: Callable[[Path], str | None] = _always
    stand_in: Callable[[Path], Path] | None = None


FORMATS: dict[str, Format] = {
    "onnx": Format("loop.onnx", write_onnx, load_onnx),
    "aot": Format("loop.pt2", write_aot, load_aot),
    "tensorrt": Format(
        "loop.plan",
        write_tensorrt,
        load_tensorrt,
        check_tensorrt,
        why_tensorrt_cannot_run,
        stand_in_of,
    ),
    "tensorrt-rtx": Format(
        "loop.rtx.plan",
        write_tensorrt_rtx,
        load_tensorrt_rtx,
        check_tensorrt_rtx,
        why_rtx_cannot_run,
        stand_in_of,
    ),
}
