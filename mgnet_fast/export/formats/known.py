"""The export formats, with everything needed to write, run and check each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ..options import ExportOptions
from .aot import load_aot, write_aot
from .onnx import describe_onnx, load_onnx, write_onnx
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

Writer = Callable[..., None]
Loader = Callable[[Path], Callable[..., tuple[Tensor, ...]]]


def _nothing() -> None:
    pass


def _always(path: Path) -> str | None:
    return None


def _says_nothing(path: Path, manifest: Mapping[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Format:
    """How files of one format are written and run.

    Attributes:
        suffix: of the file name.
        write: writes the file from model, path and options, with ``calibration=`` for int8; it may
            leave a stand-in beside it.
        load: returns the file's function from inputs to outputs.
        precisions: the supported precisions.
        parts: the supported parts of a network, "loop" and "step".
        describe: writes a manifest into the file, if the format has room for it.
        check: raises if the format cannot be written on this machine.
        why_not_run: why a file cannot run on this machine, or None.
        stand_in: the ONNX file that the artefact was built from, to be run in its place.
    """

    suffix: str
    write: Writer
    load: Loader
    precisions: tuple[str, ...] = ("fp32",)
    parts: tuple[str, ...] = ("loop",)
    describe: Callable[[Path, Mapping[str, Any]], None] = _says_nothing
    check: Callable[[], None] = _nothing
    why_not_run: Callable[[Path], str | None] = _always
    stand_in: Callable[[Path], Path] | None = None

    def file(self, options: ExportOptions) -> str:
        """The artefact's file name."""
        return f"{options.stem}.{self.suffix}"


FORMATS: dict[str, Format] = {
    "onnx": Format(
        "onnx",
        write_onnx,
        load_onnx,
        precisions=("fp32", "fp16", "int8"),
        parts=("loop", "step"),
        describe=describe_onnx,
    ),
    "aot": Format("pt2", write_aot, load_aot, parts=("loop", "step")),
    "tensorrt": Format(
        "plan",
        write_tensorrt,
        load_tensorrt,
        precisions=("fp32", "fp16", "int8"),
        parts=("loop", "step"),
        check=check_tensorrt,
        why_not_run=why_tensorrt_cannot_run,
        stand_in=stand_in_of,
    ),
    "tensorrt-rtx": Format(
        "rtx.plan",
        write_tensorrt_rtx,
        load_tensorrt_rtx,
        precisions=("fp32", "fp16"),
        parts=("loop", "step"),
        check=check_tensorrt_rtx,
        why_not_run=why_rtx_cannot_run,
        stand_in=stand_in_of,
    ),
}


def check_pair(kind: str, options: ExportOptions) -> Format:
    """The format called ``kind``.

    Raises:
        ValueError: it is unknown, or does not support what ``options`` ask for.
        ImportError, RuntimeError: something it needs is missing on this machine.
    """
    if kind not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {kind!r}")
    form = FORMATS[kind]
    for name, wanted, possible in (
        ("precision", options.precision, form.precisions),
        ("what", options.what, form.parts),
    ):
        if wanted not in possible:
            others = [each for each in FORMATS if wanted in _possible(FORMATS[each], name)]
            raise ValueError(
                f"{name} must be {' or '.join(possible)} for format {kind}, got {wanted}; "
                f"for {wanted} take format {' or '.join(others)}"
            )
    form.check()
    return form


def _possible(form: Format, name: str) -> tuple[str, ...]:
    return form.precisions if name == "precision" else form.parts
