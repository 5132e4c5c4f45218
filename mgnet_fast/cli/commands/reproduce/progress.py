"""Shared by the subcommands of ``reproduce`` that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ... import console
from ...options.option import option

if TYPE_CHECKING:
    from ....reproduction.planned_run import PlannedRun

TrainingData = Annotated[
    Path | None,
    option("DIR", "Folder with MNIST's four *-ubyte files.", show_default="nothing is trained"),
]


def _checked_seeds(text: str) -> list[int]:
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or min(seeds) < 0:
        raise typer.BadParameter(f"wanted numbers such as 0,1,2, got {text!r}")
    return seeds


Seeds = Annotated[
    str, option("N,N", "Seeds, such as 0,1,2: one run for each.", callback=_checked_seeds)
]


def make_all(
    plans: Sequence[PlannedRun], folder: Path, data: Path, settings: dict[str, Any]
) -> None:
    """Make the remaining runs; print before each how many are done and the time left."""
    from ....data import find_mnist
    from ....reproduction.planned_run import make_runs, record_of, seconds_left
    from ....training.run.progress import format_seconds

    find_mnist(data)
    screen = console.output()

    def before(plan: PlannedRun, resumed: bool) -> None:
        done = sum(record_of(each, folder).is_finished for each in plans)
        seconds = seconds_left(plans, folder)
        left = "time left unknown" if seconds is None else f"left {format_seconds(seconds)}"
        verb = "resuming" if resumed else "starting"
        screen.print(f"{done} of {len(plans)} runs done, {left}; {verb} {plan.name}")

    try:
        busy = make_runs(plans, folder, data, before=before, tensorboard=False, **settings)
    except KeyboardInterrupt:
        console.print_error(
            f"interrupted; finished epochs are kept in {folder}",
            hint="give the same command again to resume",
        )
        raise typer.Exit(1) from None
    for name in busy:
        screen.print(f"skipped, another process is making it: {name}")
