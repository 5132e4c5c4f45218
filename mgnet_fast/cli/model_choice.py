"""Model names and files as given on the command line."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

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


def numbers(text: str, option: str) -> list[float]:
    """Numbers separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"wanted numbers separated by commas, got {text!r}", param_hint=option
        ) from None


def config_fields(given: list[str]) -> dict[str, Any]:
    """Fields of a config from ``name=value``, where a value is JSON or else a string."""
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise typer.BadParameter(f"wanted FIELD=VALUE, got {text!r}", param_hint="--set")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found
