"""``mgnet-fast export``: write a network for another runtime and compare it with the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import console
from ..options import shared as options
from ..options.exits import checked_exit, exit_rule
from ..options.export import (
    Format,
    Input,
    Outputs,
    Part,
    Precision,
    Sampling,
    What,
    export_options,
    read_names,
)
from ..options.option import choice, option

if TYPE_CHECKING:
    from ...export import Exported, Tolerances

PARITY_MISSED = 1


def export(
    former: options.FormerCheckpoint = None,
    checkpoint: options.Checkpoint = None,
    kind: Annotated[
        Format,
        choice(
            "onnx (ONNX Runtime), aot (AOTInductor, CPU), tensorrt (built on the GPU that "
            "will run it) or tensorrt-rtx (for RTX GPUs, built without one).",
            "--format",
        ),
    ] = "onnx",
    directory: Annotated[Path, option("DIR", "Folder to write to.", "--out", "-o")] = Path(
        "exported"
    ),
    what: Annotated[
        What,
        choice("All T glimpses in one program (loop), one glimpse for early exit (step), or both."),
    ] = "loop",
    precision: Annotated[
        Precision, choice("Precision of the backbone; the rest is float32.")
    ] = "fp32",
    batch: Annotated[
        str, option("MIN:OPT:MAX", "Batch sizes, as MIN:OPT:MAX or one number.")
    ] = "1:8:64",
    image_size: Annotated[
        str | None,
        option(
            "HxW",
            "Image size; one number is a square, MIN:OPT:MAX a range.",
            show_default="any size; up to 1024 for tensorrt",
        ),
    ] = None,
    images: Annotated[
        Input,
        choice("Images: normalised float [B, C, H, W] or raw bytes [B, H, W, C].", "--input"),
    ] = "float",
    num_glimpses: Annotated[
        int | None, options.num_glimpses("T.", default="the checkpoint's")
    ] = None,
    outputs: Annotated[
        Outputs,
        choice("Outputs of a loop: n_logit [T, B, K], or logits [B, K] for servers."),
    ] = "steps-first",
    sampling: Annotated[
        Sampling, choice("Whether a step samples its glimpses itself, or gets them (faster).")
    ] = "inside",
    labels: Annotated[
        Path | None,
        option(
            "FILE",
            "Text file with one class name per line.",
            show_default="the checkpoint's, if it has them",
        ),
    ] = None,
    leave: Annotated[
        str | None,
        option(
            "NAME",
            "Exit rule written to the manifest: confidence, margin, entropy, never, or a file of "
            "mgnet-fast calibrate.",
            "--exit",
            callback=checked_exit,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        option("X", "Threshold of the exit rule.", show_default="0.9, 0.8, 0.3 by --exit"),
    ] = None,
    sample: Annotated[
        int | None,
        option(
            "N", "Number of images to compare on.", min=1, show_default="64; fp16 256; int8 512"
        ),
    ] = None,
    sample_images: Annotated[
        Path | None,
        option(
            "DIR",
            "Folder of photographs to compare and calibrate on.",
            show_default="digits, or random pictures",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        option(
            "X",
            "Largest difference of logits, relative to the largest logit.",
            min=0,
            show_default="0.001; 0.05 in fp16, 0.75 in int8",
        ),
    ] = None,
    region_tolerance: Annotated[
        float | None,
        option("X", "Largest difference of s, x and y.", min=0, show_default="0.0001; 0.01; 1"),
    ] = None,
    label_tolerance: Annotated[
        float | None,
        option("X", "Share of labels that may differ.", min=0, show_default="0; 0.005"),
    ] = None,
) -> None:
    """Write the network for another runtime and compare it with the model.

    Exit code 1 means that they disagree; then nothing is written.
    """
    if threshold is not None and leave is None:
        raise typer.BadParameter("needs an exit rule; give --exit", param_hint="--threshold")
    parts: list[Part] = ["loop", "step"] if what == "both" else [what]
    wanted = [
        export_options(
            batch,
            image_size,
            images,
            num_glimpses,
            outputs,
            what=part,
            precision=precision,
            sampling=sampling if part == "step" else "inside",
        )
        for part in parts
    ]
    from ...export import calibration_batches, export_model, sample_batches
    from ...export.formats.known import check_pair
    from ...export.tolerances import SAMPLE_IMAGES, TOLERANCES
    from ...models.files.checkpoints import load_checkpoint
    from ...models.files.trained_on import read_trained_on

    for each in wanted:
        try:
            check_pair(kind, each)
        except ValueError as error:
            hint = f"--{str(error).split()[0]}"
            raise typer.BadParameter(str(error), param_hint=hint) from None
    path = options.one_network(checkpoint, former)
    model, names = load_checkpoint(path), read_names(labels)
    trained = read_trained_on(path) if names is None else None
    if trained is not None:
        names = list(trained.classes)
    allowed = _allowed(TOLERANCES[precision], tolerance, region_tolerance, label_tolerance)
    holds = True
    for each in wanted:
        done = export_model(
            model,
            directory,
            kind,
            each,
            class_names=names,
            exit=None if leave is None else exit_rule(leave, threshold),
            sample=sample_batches(
                model, each, sample or SAMPLE_IMAGES[precision], folder=sample_images
            ),
            calibration=calibration_batches(model, each, folder=sample_images),
            tolerances=allowed,
        )
        print_parity(path, done)
        holds &= done.parity.holds
        if done.parity.holds:
            for written in (done.artefact, done.manifest, done.report):
                console.output().print(f"wrote {written}", soft_wrap=True)
        else:
            console.print_error(
                f"the results differ from the model's: {_not_written(done)}", f"see: {done.report}"
            )
    if names is None:
        console.output().print(
            "The checkpoint does not name its classes, so the manifest does not: give --labels "
            "FILE, one name a line."
        )
    if not holds:
        raise typer.Exit(PARITY_MISSED)


def _allowed(
    usual: Tolerances, logit: float | None, region: float | None, label: float | None
) -> Tolerances:
    asked = {"logit": logit, "region": region, "label": label}
    return replace(usual, **{name: each for name, each in asked.items() if each is not None})


def _not_written(done: Exported) -> str:
    if done.artefact.exists():
        return f"{done.artefact} is still that of an earlier export"
    return f"{done.artefact} was not written"


def print_parity(path: Path, done: Exported) -> None:
    """A table of the differences between the artefact and the eager model."""
    screen = console.output()
    parity = done.parity
    ran = f"the ONNX file of {done.artefact.name}" if done.not_run else done.artefact.name
    table = console.new_table(
        f"{path.name} as {ran} against the eager model, {parity.images} images"
    )
    for heading in ("deviation", "mean", "maximum", "allowed"):
        table.add_column(heading, justify="left" if heading == "deviation" else "right")
    for name, mean, most, allowed in (
        ("logits / largest logit", parity.logit_mean, parity.logit_max, parity.tolerances.logit),
        ("regions", parity.region_mean, parity.region_max, parity.tolerances.region),
    ):
        table.add_row(name, f"{mean:.1e}", f"{most:.1e}", f"{allowed:.1e}")
    if parity.attention_max is not None:
        most, allowed = parity.attention_max, parity.tolerances.logit
        table.add_row("attention / largest weight", "", f"{most:.1e}", f"{allowed:.1e}")
    allowed = parity.tolerances.label * parity.images
    table.add_row("labels changed", "", str(parity.labels_changed), f"{allowed:g}")
    screen.print(table)
    if done.not_run:
        screen.print(
            f"{done.artefact.name} itself was NOT run: {done.not_run}. The table is of the ONNX "
            "file that it was built from.",
        )
