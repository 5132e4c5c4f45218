"""Rows of finished work on disk, so that an interrupted evaluation can be resumed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.network import config_values


def fingerprint(model: GlimpseNetwork) -> str:
    """16 hex digits from the config and all weights; equal for equal networks only."""
    digest = hashlib.sha256(json.dumps(config_values(model.config)).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]


class RowFile:
    """A file of JSON lines: a first row that describes the run, then one row per finished part.

    A last line that an interruption cut off is dropped.

    Args:
        path: the file, created if missing. None: rows are kept in memory only.
        run: plain values that describe the run. A file with another description is refused.

    Attributes:
        rows: the finished parts, in the order of writing.

    Raises:
        ValueError: the file belongs to another run, or is not such a file.
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path | None, run: dict[str, Any]) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path is None:
            return
        run = json.loads(json.dumps({"kind": "run", **run}))
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        rows = _whole_rows(text, path)
        if rows and rows[0] != run:
            different = [key for key in run if rows[0].get(key) != run[key]] or ["kind"]
            raise ValueError(
                f"{path} belongs to another run (different: {', '.join(different)}): "
                "choose another file or remove this one"
            )
        self.rows = rows[1:]
        lines = "".join(json.dumps(row) + "\n" for row in [run, *self.rows])
        if lines != text:
            rewritten = path.with_name(path.name + ".partial")  # an interruption here loses no row
            rewritten.write_text(lines, encoding="utf-8")
            rewritten.replace(path)

    def append(self, row: dict[str, Any]) -> None:
        """Adds a finished part; it is on disk when the method returns."""
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def _whole_rows(text: str, path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
            if number == len(lines) and rows:
                break
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number}: wanted a JSON object, got {line[:40]!r}")
        rows.append(row)
    return rows
