"""A file of JSON rows that an interrupted evaluation goes on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class RowFile:
    """The first row says what is evaluated, each other one is a finished part of it.

    A last line cut by an interruption is dropped. Without a path rows are kept in memory only.

    Args:
        path: the file; made if it is not there.
        run: what is evaluated, plain values. A file of another run is refused.

    Attributes:
        rows: finished parts, in the order in which they were written.

    Raises:
        ValueError: the file belongs to another run, or is none of these.
        OSError: it cannot be read or written.
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
                "give another file, or remove it"
            )
        self.rows = rows[1:]
        lines = "".join(json.dumps(row) + "\n" for row in [run, *self.rows])
        if lines != text:
            rewritten = path.with_name(path.name + ".partial")  # a kill here costs no row
            rewritten.write_text(lines, encoding="utf-8")
            rewritten.replace(path)

    def append(self, row: dict[str, Any]) -> None:
        """Keeps a finished part, on disk before this returns."""
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
