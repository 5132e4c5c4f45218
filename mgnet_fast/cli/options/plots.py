"""Files of plots."""

from __future__ import annotations

from pathlib import Path

import typer

SUFFIXES = (".png", ".pdf", ".svg")


def checked_plot(path: Path | None) -> Path | None:
    """Refuse a file that no plot can be written to, before anything runs."""
    if path is None:
        return None
    if path.suffix not in SUFFIXES:
        raise typer.BadParameter(f"wanted a file ending in .png, .pdf or .svg, got {str(path)!r}")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder")
    return path
