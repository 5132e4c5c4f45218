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
"""Kinds of files that the server runs."""

InstanceDevice = Literal["auto", "cpu", "gpu"]
"""Where the server runs the model."""


def serve_repo(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="[ARTEFACT]",
            help="Artefact of mgnet-fast export --outputs batch-first (.onnx, .plan); not with "
            "--checkpoint.",
            show_default=False,
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="The repository: a new folder, or one to add to.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        option("FILE", "Export this network instead of an artefact.", "--checkpoint", "-c"),
    ] = None,
    name: Annotated[str, option("NAME", "Of the model.")] = "mgnet",
    labels: Annotated[
        Path | None,
        option(
            "FILE", "Names of the classes, one a line.", show_default="the artefact's, else numbers"
        ),
    ] = None,
    queue_delay: Annotated[
        int, option("US", "Microseconds a request waits for others.", min=0)
    ] = 500,
    instances: Annotated[int, option("N", "Copies of the model that run side by side.", min=1)] = 1,
    device: Annotated[InstanceDevice, choice("Where the server shall run it.")] = "auto",
    kind: Annotated[
        ServedFormat, choice("Of a checkpoint: what to export it as.", "--format")
    ] = "onnx",
    batch: Annotated[str, option("MIN:OPT:MAX", "Of a checkpoint: images a call.")] = "1:8:64",
    image_size: Annotated[
        str | None,
        option(
            "HxW",
            "Of a checkpoint. The server gathers requests of one size only.",
            show_default="any size",
        ),
    ] = None,
    images: Annotated[
        Input, choice("Of a checkpoint: bytes [B, H, W, C], or normalised [B, C, H, W].", "--input")
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
                console.print_error("parity is missed, so no repository was written")
                raise typer.Exit(PARITY_MISSED)
            served = write_repository(
                done.artefact, directory, name, class_names=names, batching=batching
            )
    screen = console.output()
    screen.print(f"wrote {served.folder}", soft_wrap=True)
    if not served.has_class_names:
        screen.print("The classes have no names, so labels.txt has their numbers: give --labels.")
    console.print_next(
        screen,
        (f"tritonserver --model-repository={directory.resolve()}", "in NVIDIA's container"),
    )
