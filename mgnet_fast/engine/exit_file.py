"""Exit rules as plain values, and in JSON files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .exits import Confidence, Entropy, ExitRule, Margin, Never
from .learned_exit import ExitHead, LearnedExit

_KINDS = {kind.__name__: kind for kind in (Never, Confidence, Margin, Entropy, LearnedExit)}


def exit_values(rule: ExitRule) -> dict[str, Any]:
    """The rule as plain values, from which :func:`exit_of` makes it again."""
    return {"rule": type(rule).__name__, **asdict(rule)}


def exit_of(values: dict[str, Any]) -> ExitRule:
    """The rule of these values.

    Raises:
        ValueError, TypeError: they describe no rule.
    """
    fields = dict(values)
    name = fields.pop("rule", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"rule must be one of {', '.join(_KINDS)}, got {name!r}")
    if isinstance(fields.get("head"), dict):
        fields["head"] = ExitHead(**fields["head"])
    return kind(**fields)


def save_exit(rule: ExitRule, path: str | Path) -> None:
    """Write the rule to a JSON file, for :func:`load_exit` and for ``--exit FILE``."""
    Path(path).write_text(json.dumps(exit_values(rule)) + "\n", encoding="utf-8")


def load_exit(path: str | Path) -> ExitRule:
    """The rule in a file of :func:`save_exit`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no rule; the message names the file.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"a JSON object is wanted, got {type(values).__name__}")
        return exit_of(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no exit rule: {error}") from error
