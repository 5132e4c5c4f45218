"""Messages of ``predict`` on standard error: progress, unreadable files, a summary."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from ..bulk.expected import Expected
    from ..bulk.on_ray import UnitResult
    from ..bulk.rows import Row
    from ..bulk.units import Item

ProgressForm = Literal["auto", "bar", "lines", "none"]
"""How progress is shown."""

EVERY = 30.0  # seconds between two lines
NAMED = 20  # unreadable files that are named where the output names all


class ScoringReport:
    """Progress as a bar on a terminal, as a line now and then elsewhere.

    Args:
        expected: the number of images.
        form: "auto", "bar", "lines" or "none".
        beside_results: results go to standard output.
        errors_kept: the results name unreadable files.

    Attributes:
        skipped: number of files that could not be read.
    """

    def __init__(
        self, expected: Expected, form: ProgressForm, *, beside_results: bool, errors_kept: bool
    ) -> None:
        self.skipped = self._seen = self._done = self._glimpses = 0
        self._expected, self._errors_kept = expected, errors_kept
        self._screen = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        # Results on the same screen would run through the bar.
        mixed = beside_results and sys.stdout.isatty()
        if form == "auto":
            form = "lines" if not self._screen.is_terminal else "none" if mixed else "bar"
        self._has_lines = form == "lines"
        self._bar = Progress(
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            console=self._screen,
            transient=True,
            disable=form != "bar",
            redirect_stdout=False,
        )
        self._task = self._bar.add_task("", total=expected.total(), words="")
        self._start = self._said = time.perf_counter()

    def __enter__(self) -> ScoringReport:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        self._screen.print(text, style="dim")

    def skip(self, path: str, reason: str) -> None:
        self.skipped += 1
        if not self._errors_kept or self.skipped <= NAMED:
            self._screen.print(f"skipped: {path}: {reason}")
        elif self.skipped == NAMED + 1:
            self._screen.print("skipped: more, which the column error of the results names")

    def skipped_before(self, count: int) -> None:
        """Unreadable files that an earlier run has named."""
        self.skipped += count
        if count:
            self._screen.print(f"{count:,} files could not be read before")

    def count(self, item: Item, row: Row) -> None:
        """Take in the result of one image."""
        self._expected.see(item)
        self._seen += 1
        if row.error is not None:
            self.skip(row.path, row.error)
        elif row.prediction is not None:
            self._done += 1
            self._glimpses += row.prediction.glimpses
        self._show()

    def count_unit(self, result: UnitResult) -> None:
        """Take in the result of a unit that is finished."""
        self._expected.finish(result.number, result.images)
        for path, reason in result.errors:
            self.skip(path, reason)
        self.skipped += result.further_errors
        self._seen += result.done
        self._done += result.done - len(result.errors) - result.further_errors
        self._show()

    def summarise(self, how: str) -> None:
        images = "image" if self._done == 1 else "images"
        mean = f", {self._glimpses / self._done:.2f} glimpses each" if self._glimpses else ""
        before = f", {self._expected.before:,} before" if self._expected.before else ""
        skipped = f", {self.skipped:,} skipped" if self.skipped else ""
        self._screen.print(
            f"{self._done:,} {images}{mean}, {self._rate():.3g} images/s ({how}){before}{skipped}",
            style="dim",
        )

    def _rate(self) -> float:
        return self._done / (time.perf_counter() - self._start)

    def _show(self) -> None:
        now = time.perf_counter()
        if self._has_lines and now - self._said >= EVERY:
            self._said = now
            self._screen.print(self._words())
        elif not self._bar.disable and now - self._said >= 0.1:
            self._said = now
            here = self._expected.before + self._seen
            self._bar.update(
                self._task, completed=here, total=self._expected.total(), words=self._words()
            )

    def _words(self) -> str:
        here, total = self._expected.before + self._seen, self._expected.total()
        words = [f"{here:,} images" if total is None else f"{here:,} of {self._of(total)}"]
        rate = self._rate()
        words.append(f"{rate:.3g} images/s")
        if total is not None and rate:
            words.append(f"{_time(max(total - here, 0) / rate)} left")
        if self.skipped:
            words.append(f"{self.skipped:,} skipped")
        return ", ".join(words)

    def _of(self, total: int) -> str:
        return f"{total:,} images" if self._expected.is_exact else f"about {total:,} images"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
