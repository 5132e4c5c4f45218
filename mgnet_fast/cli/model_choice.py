"""Model names and files as given on the command line."""

from __future__ import annotations

import difflib
from pathlib import Path

import typer


def network_title(checkpoint: Path) -> str:
    """A network's name in tables: its file, or its run's folder if the file has no own name."""
    if checkpoint.stem == "model" and checkpoint.parent.name:
        return checkpoint.parent.name
    return checkpoint.stem


def check_model_name(name: str, option: str) -> None:
    """Refuse an unknown model name; suggest the closest one."""
    from ..models import list_models

    known = list_models()
    if name in known or ":" in name:
        return
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise typer.BadParameter(
        f"model {name!r} is unknown.{hint} Known: {', '.join(known)}", param_hint=option
    )
