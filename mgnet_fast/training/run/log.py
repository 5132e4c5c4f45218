"""The log of a run: JSON lines, and TensorBoard if it is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

FILE_NAME = "log.jsonl"


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; a last line cut off by an interruption is dropped."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


class RunLog:
    """Appends rows to ``log.jsonl``, and numbers to TensorBoard.

    The first row describes the run (``"kind": "run"``), each other row an epoch. Resuming after
    epoch n drops the rows of later epochs, which are repeated.

    Args:
        folder: of the log.
        epochs_done: number of epochs in the resumed snapshot; 0 starts a new log.
        tensorboard: also write TensorBoard's files, if it is installed.
    """

    def __init__(self, folder: Path, *, epochs_done: int = 0, tensorboard: bool = True) -> None:
        self.path = folder / FILE_NAME
        kept = [row for row in read_log(self.path) if row.get("epoch", 0) <= epochs_done]
        lines = [json.dumps(row) + "\n" for row in kept] if epochs_done else []
        rewritten = self.path.with_suffix(".partial")  # an interruption here loses no rows
        rewritten.write_text("".join(lines), encoding="utf-8")
        rewritten.replace(self.path)
        self._board: Any = None
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=epochs_done + 1)

    def write(self, row: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._board is None or "epoch" not in row:
            return
        for name, value in row.items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, row["epoch"])
            elif isinstance(value, list):
                for at, item in enumerate(value, start=1):
                    self._board.add_scalar(f"{name}/{at}", item, row["epoch"])
        self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
