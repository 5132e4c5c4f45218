"""What the commands under ``reproduce`` that train have in common."""

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


Seeds = Annotated[str, option("N,N", "One run a seed, such as 0,1,2.", callback=_checked_seeds)]


def make_all(
    plans: Sequence[PlannedRun], folder: Path, data: Path, settings: dict[str, Any]
) -> None:
    """Makes the runs that are left, and says before each what is done and what is left."""
    from ....data import find_mnist
    from ....reproduction.planned_run import make_runs, record_of, seconds_left
    from ....training.run.progress import format_seconds

    find_mnist(data)
    screen = console.output()

    def before(plan: PlannedRun, resumed: bool) -> None:
        done = sum(record_of(each, folder).is_finished for each in plans)
        seconds = seconds_left(plans, folder)
        left = "time left unknown" if seconds is None else f"left {format_seconds(seconds)}"
        verb = "going on with" if resumed else "making"
        screen.print(f"{done} of {len(plans)} runs done, {left}; {verb} {plan.name}")

    try:
        busy = make_runs(plans, folder, data, before=before, tensorboard=False, **settings)
    except KeyboardInterrupt:
        console.print_error(
            f"interrupted; whole epochs are kept in {folder}",
            hint="go on with the same command",
        )
        raise typer.Exit(1) from None
    for name in busy:
        screen.print(f"left out, being made by another process: {name}")
