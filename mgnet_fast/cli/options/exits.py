"""Exit rules as given on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .option import option

if TYPE_CHECKING:
    from ...engine import ExitRule

KINDS = ("confidence", "margin", "entropy", "never")
_FILE = ".json"


def checked_exit(value: str | None) -> str | None:
    if value is None or value in KINDS or value.endswith(_FILE):
        return value
    raise typer.BadParameter(f"wanted {', '.join(KINDS)} or a {_FILE} file, got {value!r}")


Exit = Annotated[
    str,
    option(
        "NAME",
        "confidence, margin, entropy, never, or a file of mgnet-fast calibrate.",
        "--exit",
        callback=checked_exit,
    ),
]
"""The rule by which an image leaves early."""

Threshold = Annotated[
    float | None,
    option("X", "Threshold of the exit rule.", show_default="0.9, 0.8, 0.3 by --exit"),
]


def exit_rule(kind: str, threshold: float | None) -> ExitRule:
    """The exit rule of this name, by default with its own threshold, or that of a file."""
    from dataclasses import replace

    from ...engine import Confidence, Entropy, Margin, Never, load_exit

    if kind == "never":
        return Never()
    if kind.endswith(_FILE):
        rule = load_exit(Path(kind))
        return rule if threshold is None else replace(rule, threshold=threshold)
    chosen = {
        "confidence": Confidence,
        "margin": Margin,
        "entropy": Entropy,
    }[kind]
    return chosen() if threshold is None else chosen(threshold)
