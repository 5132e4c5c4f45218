"""Options and arguments that several commands have, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .plots import checked_plot
from .scenes import Dataset

_NETWORK = "mgnet-fast train (.safetensors) or a Lightning checkpoint."

Checkpoint = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE", help=f"File of {_NETWORK}", show_default="the shipped toy network"
    ),
]
Checkpoints = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILES]...",
        help="Networks of mgnet-fast train (.safetensors) or Lightning checkpoints.",
        show_default="the shipped toy network",
    ),
]
TestDigits = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder with MNIST's t10k-*-ubyte files, plain or .gz.",
        show_default="the 500 shipped test digits",
    ),
]
DatasetName = Annotated[
    Dataset, typer.Option(metavar="NAME", help="Either translated-mnist or noisy-translated-mnist.")
]
NoiseStd = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0,
        help="Noise, in units of the pixel range.",
        show_default="the dataset's: 0, or 0.3 if noisy",
    ),
]
MostImages = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Only the first N scenes.", show_default="all"),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Draw the curves (.png, .pdf, .svg).",
        callback=checked_plot,
    ),
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Threads.", show_default="torch's choice")
]
Device = Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def num_glimpses(help_text: str, default: str) -> typer.models.OptionInfo:
    """``--num-glimpses``, ``-T``."""
    return typer.Option(
        "--num-glimpses", "-T", metavar="N", min=1, help=help_text, show_default=default
    )
