"""A bar with the time left, for commands that take minutes."""

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
    """Shows on standard error what is done of ``total``, where that is a terminal.

    Gives a function of (what is being done, how much is done).
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
