"""Options of scoring many images: inputs, output, progress, Ray."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer
from typer.core import TyperCommand

from ..scoring_report import ProgressForm
from .option import choice, option

if TYPE_CHECKING:
    from ...bulk.formats import Format as BulkFormat

Format = Literal["jsonl", "csv", "parquet"]
"""The format of the results."""

Paths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATHS...",
        help="Image files, tar shards, folders, patterns such as '*.png', or URLs of these.",
        show_default=False,
    ),
]
FilesFrom = Annotated[
    list[str] | None,
    option("FILE", "Text file with one path or URL a line; - is standard input.", "--files-from"),
]
Out = Annotated[
    str | None,
    option(
        "FILE|DIR",
        "File for the results. Or a folder, which is written in parts and can be resumed: a name "
        "that ends in / or .parquet, or a folder that exists.",
        show_default="standard output",
    ),
]
Form = Annotated[
    Format | None,
    option(
        "NAME",
        "jsonl, csv or parquet. parquet needs a folder.",
        "--format",
        show_default="by --out: parquet for a folder, csv for .csv, else jsonl",
    ),
]
PartSize = Annotated[int, option("N", "Most images of a part.", min=1)]
ShardOption = Annotated[
    str | None,
    option("I/N", "Do the I-th of N shares of the work; all N may write to one folder."),
]
Readers = Annotated[
    int | None,
    option("N", "Threads that read and decode files.", min=1, show_default="1, or 8 for URLs"),
]
ProgressOption = Annotated[
    ProgressForm,
    choice("bar, lines (one every 30 seconds) or none. auto: a bar on a terminal, else lines."),
]
RayAddress = Annotated[
    str | None,
    option(
        "[ADDRESS]",
        "Work on a Ray cluster: local (a new one on this machine), auto, HOST:PORT or "
        "ray://HOST:PORT. Without ADDRESS: the running one, or else a new one.",
        "--ray",
    ),
]
WorkersOption = Annotated[
    int | None,
    option("N", "Workers on the cluster.", min=1, show_default="its CPUs (or GPUs) / --threads"),
]

RUNNING = "running or new"
_ADDRESS = re.compile(r"local|auto|ray://.+|[\w.-]+:\d+|\[[0-9a-f:]+\]:\d+")


class WithRay(TyperCommand):
    """A command whose option ``--ray`` takes a value only if an address follows."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, with_address(args))


def with_address(words: Sequence[str]) -> list[str]:
    """The words of a command line, where ``--ray`` without an address gets one."""
    given = []
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        bare = word == "--ray" and not _ADDRESS.fullmatch(following)
        given.append(f"--ray={RUNNING}" if bare else word)
    return given


class Target(NamedTuple):
    """Where results go: a file, or a folder of parts; neither is standard output."""

    file: Path | None
    folder: Path | None
    form: BulkFormat


def target_of(out: str | None, form: Format | None) -> Target:
    """Where results go, and how.

    Raises:
        ValueError: Parquet would go to standard output, or into a file that exists, or ``out`` is
            a URL.
    """
    if out is not None and "://" in out:
        raise ValueError(f"out must be a local path, got {out}")
    path = None if out is None else Path(out)
    suffix = "" if path is None else path.suffix.lower()
    in_parts = path is not None and (
        form == "parquet" or suffix == ".parquet" or str(out).endswith("/") or path.is_dir()
    )
    if not in_parts:
        if form == "parquet":
            raise ValueError("format must be jsonl or csv without --out DIR, got parquet")
        return Target(path, None, form or ("csv" if suffix == ".csv" else "jsonl"))
    assert path is not None
    if path.exists() and not path.is_dir():
        raise ValueError(f"out must be a folder for the parts, got the file {path}")
    return Target(None, path, form or "parquet")


def check_ray(address: str | None, workers: int | None, target: Target) -> None:
    """Refuse options of Ray that do not fit.

    Raises:
        ValueError: there is no folder for the parts, or workers without Ray.
    """
    if address is not None and target.folder is None:
        raise ValueError("out must be a folder for the parts with --ray, such as results/")
    if address is None and workers is not None:
        raise ValueError(f"workers must go with --ray, got {workers} without it")
