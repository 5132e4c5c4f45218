"""``mgnet-fast serve-repo``: a model repository for NVIDIA's Triton Inference Server."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import console
from ..options.export import Input, export_options, read_names
from ..options.option import choice, option
from .export import PARITY_MISSED, print_parity

_ARTEFACTS = (".onnx", ".plan", ".pt2")


ServedFormat = Literal["onnx", "tensorrt"]
"""File formats that the server runs."""

InstanceDevice = Literal["auto", "cpu", "gpu"]
"""The device that the server runs the model on."""


def serve_repo(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="[ARTEFACT]",
            help="File written by mgnet-fast export --outputs batch-first (.onnx, .plan); not "
            "with --checkpoint.",
            show_default=False,
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The repository: a new folder, or an existing one.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        option(
            "FILE", "Export this network first, instead of giving a file.", "--checkpoint", "-c"
        ),
    ] = None,
    name: Annotated[str, option("NAME", "Name of the model.")] = "mgnet",
    labels: Annotated[
        Path | None,
        option(
            "FILE",
            "Text file with one class name per line.",
            show_default="the artefact's, else numbers",
        ),
    ] = None,
    queue_delay: Annotated[
        int, option("US", "Microseconds a request waits to form a batch.", min=0)
    ] = 500,
    instances: Annotated[int, option("N", "Number of model instances.", min=1)] = 1,
    device: Annotated[InstanceDevice, choice("Device of the instances.")] = "auto",
    kind: Annotated[ServedFormat, choice("With --checkpoint: export format.", "--format")] = "onnx",
    batch: Annotated[
        str, option("MIN:OPT:MAX", "With --checkpoint: batch sizes, as MIN:OPT:MAX or one number.")
    ] = "1:8:64",
    image_size: Annotated[
        str | None,
        option(
            "HxW",
            "With --checkpoint: image size. The server batches requests of one size only.",
            show_default="any size",
        ),
    ] = None,
    images: Annotated[
        Input,
        choice("With --checkpoint: raw bytes [B, H, W, C] or normalised [B, C, H, W].", "--input"),
    ] = "uint8",
) -> None:
    """Write a model repository for NVIDIA's Triton Inference Server."""
    from ...export.serving.model_config import Batching
    from ...export.serving.repository import check_repository, write_repository

    if checkpoint is not None:
        if directory is not None:
            raise typer.BadParameter(
                f"give an artefact or --checkpoint, got {source} and {checkpoint}",
                param_hint="--checkpoint",
            )
        source, directory = checkpoint, source
    if directory is None:
        raise typer.BadParameter("give an artefact, or --checkpoint, and then DIR")
    batching = Batching(queue_delay, instances, device)
    names = read_names(labels)
    if not source.is_file():
        raise FileNotFoundError(f"{source} does not exist")
    check_repository(directory, name)
    if source.suffix in _ARTEFACTS:
        served = write_repository(source, directory, name, class_names=names, batching=batching)
    else:
        options = export_options(batch, image_size, images, None, "batch-first")
        from ...export import export_model
        from ...models.files.checkpoints import load_checkpoint

        model = load_checkpoint(source)
        with tempfile.TemporaryDirectory() as folder:
            done = export_model(model, folder, kind, options, class_names=names)
            print_parity(source, done)
            if not done.parity.holds:
                console.print_error(
                    "the results differ from the model's, so no repository was written"
                )
                raise typer.Exit(PARITY_MISSED)
            served = write_repository(
                done.artefact, directory, name, class_names=names, batching=batching
            )
    screen = console.output()
    screen.print(f"wrote {served.folder}", soft_wrap=True)
    if not served.has_class_names:
        screen.print(
            "The classes have no names, so labels.txt holds numbers; give --labels for names."
        )
    console.print_next(
        screen,
        (f"tritonserver --model-repository={directory.resolve()}", "in NVIDIA's container"),
    )
