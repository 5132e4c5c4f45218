"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .option import option, switch
from .plots import checked_plot
from .scenes import Dataset

_NAMES = ("--checkpoint", "-c")
_FILES = ".safetensors of mgnet-fast train, or a Lightning checkpoint."
_SHIPPED = "the shipped toy network"

Checkpoint = Annotated[
    Path | None, option("FILE", f"The network: {_FILES}", *_NAMES, show_default=_SHIPPED)
]
Checkpoints = Annotated[
    list[Path] | None,
    option(
        "FILE",
        f"A network: {_FILES} Repeat the option to compare networks.",
        *_NAMES,
        show_default=_SHIPPED,
    ),
]
# Earlier versions took networks without an option; that goes on working.
FormerCheckpoint = Annotated[Path | None, typer.Argument(metavar="FILE", hidden=True)]
FormerCheckpoints = Annotated[list[Path] | None, typer.Argument(metavar="[FILES]...", hidden=True)]


def one_network(checkpoint: Path | None, former: Path | None) -> Path:
    """The network that a command is about, named either way."""
    from ...assets import toy_checkpoint_path

    if checkpoint is not None and former is not None:
        raise _named_twice([checkpoint, former])
    return checkpoint or former or toy_checkpoint_path()


def networks(checkpoints: list[Path] | None, former: list[Path] | None) -> list[Path]:
    """The networks that a command compares, named either way."""
    from ...assets import toy_checkpoint_path

    if checkpoints and former:
        raise _named_twice([*checkpoints, *former])
    return checkpoints or former or [toy_checkpoint_path()]


def _named_twice(paths: list[Path]) -> typer.BadParameter:
    named = ", ".join(map(str, paths))
    return typer.BadParameter(
        f"give networks by --checkpoint only, got {named}", param_hint="--checkpoint"
    )


TestDigitsOrImages = Annotated[
    Path | None,
    option(
        "DIR",
        "Folder with MNIST's t10k-*-ubyte files, or with one folder of images per class "
        "(val/ is used if it exists).",
        show_default="the 500 shipped test digits",
    ),
]
TestDigits = Annotated[
    Path | None,
    option(
        "DIR",
        "Folder with MNIST's t10k-*-ubyte files, plain or .gz.",
        show_default="the 500 shipped test digits",
    ),
]
DatasetName = Annotated[
    Dataset,
    option(
        "NAME",
        "[noisy-]translated-mnist, {translated,cluttered,padded}-mnist-32 or cluttered-mnist-448.",
    ),
]
NoiseStd = Annotated[
    float | None,
    option(
        "X",
        "Standard deviation of the noise, in units of the pixel range.",
        min=0,
        show_default="the dataset's: 0, or 0.3 if noisy",
    ),
]
MostImages = Annotated[
    int | None, option("N", "Use only the first N scenes.", min=1, show_default="all")
]
Plot = Annotated[
    Path | None,
    option("FILE", "Draw the curves to this file (.png, .pdf or .svg).", callback=checked_plot),
]
Threads = Annotated[int | None, option("N", "Threads.", min=1, show_default="torch's choice")]
Device = Annotated[str, option("NAME", "cpu, cuda or cuda:N.")]
AsJson = Annotated[bool, switch("Print JSON instead of tables.", "--json")]


def num_glimpses(help_text: str, default: str) -> typer.models.OptionInfo:
    """``--num-glimpses``, ``-T``."""
    return option("N", help_text, "--num-glimpses", "-T", min=1, show_default=default)
