"""Options of an exported program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from ...export import ExportOptions


Outputs = Literal["steps-first", "batch-first"]
"""The order of the outputs' dimensions."""

Format = Literal["onnx", "aot", "tensorrt", "tensorrt-rtx"]
"""File formats."""

Part = Literal["loop", "step"]
"""A part of the network that can be exported."""

What = Literal["loop", "step", "both"]
"""One part, or both."""

Precision = Literal["fp32", "fp16", "int8"]
"""The precision of the exported backbone."""

Input = Literal["float", "uint8"]
"""The images that the program takes."""

Sampling = Literal["inside", "outside"]
"""Where the glimpses of a step are taken."""

_OPTION_OF = {"num_glimpses": "--num-glimpses", "sampling": "--sampling"}  # by a message's start


def export_options(
    batch: str,
    image_size: str | None,
    images: Input,
    num_glimpses: int | None,
    outputs: Outputs,
    *,
    what: Part = "loop",
    precision: Precision = "fp32",
    sampling: Sampling = "inside",
) -> ExportOptions:
    """The export options, from the values of the command line."""
    wanted = [] if image_size is None else [_size(part) for part in image_size.split(":")]
    if len(wanted) not in (0, 1, 3):
        raise typer.BadParameter(
            f"must be HxW or MIN:OPT:MAX, such as 64:224:512, got {image_size!r}",
            param_hint="--image-size",
        )
    from ...export import BatchRange, ExportOptions, SizeRange

    try:
        batch_range = BatchRange.parse(batch)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--batch") from None
    try:
        return ExportOptions(
            batch_range,
            wanted[0] if len(wanted) == 1 else None,
            images,
            num_glimpses,
            SizeRange(*wanted) if len(wanted) == 3 else None,
            outputs,
            what=what,
            precision=precision,
            sampling=sampling,
        )
    except ValueError as error:
        hint = _OPTION_OF.get(str(error).split()[0], "--image-size")
        raise typer.BadParameter(str(error), param_hint=hint) from None


def read_names(path: Path | None) -> list[str] | None:
    """Text file with one class name per line."""
    return None if path is None else path.read_text(encoding="utf-8").splitlines()


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    try:
        sides = [int(part) for part in parts]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2):
        raise typer.BadParameter(
            f"must be HxW or one number, such as 224x320 or 224, got {text!r}",
            param_hint="--image-size",
        )
    return sides[0], sides[-1]
