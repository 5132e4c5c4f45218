"""The display of a running training: a bar with the time left, or plain lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

_PLAIN_SECONDS = 30.0


def format_seconds(seconds: float) -> str:
    whole = max(round(seconds), 0)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class Progress:
    """Shows the steps done, the speed and the time left of the whole run.

    A terminal gets one bar, anything else a plain line every half minute.

    Args:
        total_steps: steps of the whole run.
        done_steps: steps of the resumed run that were done before.
        stream: default: standard error.
        enabled: False shows nothing.
    """

    def __init__(
        self,
        total_steps: int,
        *,
        done_steps: int = 0,
        stream: TextIO | None = None,
        enabled: bool = True,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total, self._done, self._first = total_steps, done_steps, done_steps
        self._start = self._last_line = time.monotonic()
        self._enabled = enabled
        self._bar: Any = None
        if enabled and self._stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("left {task.fields[left]}"),
                console=Console(file=self._stream),
            )
            self._task = self._bar.add_task(
                "training", total=total_steps, completed=done_steps, left="?"
            )
            self._bar.start()

    def _left(self) -> str:
        done = self._done - self._first
        if done == 0:
            return "?"
        pace = (time.monotonic() - self._start) / done
        return format_seconds(pace * (self._total - self._done))

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False)
        elif self._enabled:
            print(line, file=self._stream, flush=True)

    def step(self, epoch: int, epochs: int, loss: float) -> None:
        """Count one step of this epoch (counted from 1), with its loss."""
        self.advance(1, f"epoch {epoch}/{epochs}  loss {loss:.4f}")

    def advance(self, count: int, what: str) -> None:
        """Count steps of another task, such as a check."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, advance=count, description=what, left=self._left())
        elif self._enabled and time.monotonic() - self._last_line >= _PLAIN_SECONDS:
            self._last_line = time.monotonic()
            share = 100 * self._done / self._total
            print(f"{what}  {share:.0f} %  left {self._left()}", file=self._stream, flush=True)

    def epoch(self, epoch: int, epochs: int, accuracy: Sequence[float], seconds: float) -> None:
        """Report a finished epoch: accuracy in [0, 1] after each glimpse, and its time."""
        shown = " ".join(f"{100 * value:.2f}" for value in accuracy)
        self.say(
            f"epoch {epoch}/{epochs}  {seconds:.0f} s  accuracy by glimpse {shown} %  "
            f"left {self._left()}"
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
