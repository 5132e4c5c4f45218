"""``mgnet-fast export``: a checkpoint as a file for another runtime, proven against the model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import console, options

if TYPE_CHECKING:
    from ..export import Exported, ExportOptions

PARITY_MISSED = 1


class Outputs(StrEnum):
    """Orders of the outputs' dimensions."""

    steps_first = "steps-first"
    batch_first = "batch-first"


class Format(StrEnum):
    """Kinds of files that can be written."""

    onnx = "onnx"
    aot = "aot"
    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt-rtx"


class What(StrEnum):
    """Parts of the network that can be exported."""

    loop = "loop"


class Precision(StrEnum):
    """Precisions that can be exported."""

    fp32 = "fp32"


class Input(StrEnum):
    """Images that the program can take."""

    float = "float"
    uint8 = "uint8"


def export(
    checkpoint: options.Checkpoint = None,
    kind: Annotated[
        Format,
        typer.Option(
            "--format",
            help="onnx (ONNX Runtime), aot (AOTInductor, CPU), tensorrt (on the GPU that is to "
            "run it) or tensorrt-rtx (for RTX GPUs, built without one).",
        ),
    ] = Format.onnx,
    directory: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the files.")
    ] = Path("exported"),
    what: Annotated[What, typer.Option(help="The whole loop of T glimpses.")] = What.loop,
    precision: Annotated[Precision, typer.Option(help="Numbers inside.")] = Precision.fp32,
    batch: Annotated[
        str, typer.Option(metavar="MIN:OPT:MAX", help="Images a call, or one number.")
    ] = "1:8:64",
    image_size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW",
            help="Or one number: a square. MIN:OPT:MAX of these for a range.",
            show_default="any size; up to 1024 for tensorrt",
        ),
    ] = None,
    images: Annotated[
        Input,
        typer.Option(
            "--input", help="Normalised float [B, C, H, W], or bytes [B, H, W, C] as they are."
        ),
    ] = Input.float,
    num_glimpses: Annotated[
        int | None, options.num_glimpses("T.", default="the checkpoint's")
    ] = None,
    outputs: Annotated[
        Outputs,
        typer.Option(
            help="n_logit [T, B, K] of all steps, or logits [B, K] of the last one, for servers."
        ),
    ] = Outputs.steps_first,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Names of the classes for the manifest, one a line."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            help="For logits, in units of the largest one.",
            show_default="0.001",
        ),
    ] = None,
) -> None:
    """Write the network for another runtime; exit code 1 if it disagrees with the model."""
    options = export_options(batch, image_size, images, num_glimpses, outputs)
    from ..assets import toy_checkpoint_path
    from ..export import export_model
    from ..export.parity import LOGIT_TOLERANCE
    from ..models.checkpoints import load_checkpoint

    path = checkpoint or toy_checkpoint_path()
    done = export_model(
        load_checkpoint(path),
        directory,
        kind.value,
        options,
        class_names=read_names(labels),
        logit_tolerance=LOGIT_TOLERANCE if tolerance is None else tolerance,
    )
    print_parity(path, done)
    if not done.parity.holds:
        console.print_error(
            f"parity is missed, so {done.artefact} was not written", hint=f"see: {done.report}"
        )
        raise typer.Exit(PARITY_MISSED)
    for written in (done.artefact, done.manifest, done.report):
        console.output().print(f"wrote {written}", soft_wrap=True)


def export_options(
    batch: str,
    image_size: str | None,
    images: Input,
    num_glimpses: int | None,
    outputs: Outputs,
) -> ExportOptions:
    """What the program shall accept, from the words of the command line."""
    wanted = [] if image_size is None else [_size(part) for part in image_size.split(":")]
    if len(wanted) not in (0, 1, 3):
        raise typer.BadParameter(
            f"must be HxW or MIN:OPT:MAX, such as 64:224:512, got {image_size!r}",
            param_hint="--image-size",
        )
    from ..export import BatchRange, ExportOptions, SizeRange

    try:
        batch_range = BatchRange.parse(batch)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--batch") from None
    try:
        sizes = SizeRange(*wanted) if len(wanted) == 3 else None
        size = wanted[0] if len(wanted) == 1 else None
        return ExportOptions(batch_range, size, images.value, num_glimpses, sizes, outputs.value)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--image-size") from None


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


def read_names(path: Path | None) -> list[str] | None:
    """Names of the classes, one a line."""
    return None if path is None else path.read_text(encoding="utf-8").splitlines()


def print_parity(path: Path, done: Exported) -> None:
    """How near the artefact is to the eager model, as a table."""
    screen = console.output()
    parity = done.parity
    ran = f"the ONNX file of {done.artefact.name}" if done.not_run else done.artefact.name
    table = console.new_table(
        f"{path.name} as {ran} against the eager model, {parity.images} images"
    )
    for heading in ("deviation", "mean", "maximum", "allowed"):
        table.add_column(heading, justify="left" if heading == "deviation" else "right")
    for name, mean, most, allowed in (
        ("logits / largest logit", parity.logit_mean, parity.logit_max, parity.logit_tolerance),
        ("regions", parity.region_mean, parity.region_max, parity.region_tolerance),
    ):
        table.add_row(name, f"{mean:.1e}", f"{most:.1e}", f"{allowed:.1e}")
    table.add_row("labels changed", "", str(parity.labels_changed), f"{parity.label_tolerance:g}")
    screen.print(table)
    if done.not_run:
        screen.print(
            f"{done.artefact.name} itself was NOT run: {done.not_run}. The table is of the ONNX "
            "file that it was built from.",
        )
