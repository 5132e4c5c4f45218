"""A progress bar with the time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


@contextmanager
def waiting_bar(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show a progress bar on standard error, if that is a terminal.

    Yields a function that takes (description, number done of ``total``).
    """
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=(screen := Console(stderr=True)),
        transient=True,
        disable=not screen.is_terminal,
    ) as progress:
        task = progress.add_task("", total=total)

        def show(what: str, done: int) -> None:
            progress.update(task, description=what, completed=done)

        yield show
