"""Runs that a table or figure needs: what they are, how far they are, and making them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgnet_fast.evaluation.accuracy import wilson_interval
from mgnet_fast.training.recipe import Recipe
from mgnet_fast.training.run.launch import run
from mgnet_fast.training.run.log import FILE_NAME as LOG_NAME
from mgnet_fast.training.run.log import read_log
from mgnet_fast.training.run.snapshot import FILE_NAME as SNAPSHOT_NAME

TEST_SCENES = 10_000  # of logs that do not say how many there were


@dataclass(frozen=True)
class PlannedRun:
    """One training run.

    Attributes:
        name: its folder's.
        dataset, noise_std, model, num_glimpses, recipe, seed: as `mgnet_fast.training.run`
            takes them.
    """

    name: str
    dataset: str
    model: str
    num_glimpses: int
    recipe: Recipe
    seed: int = 0
    noise_std: float | None = None


class RunRecord:
    """What the log of a run says, finished or not; empty if there is no log.

    Attributes:
        start: the row that describes the run.
        epochs: a row for each whole epoch.
    """

    def __init__(self, log: Path) -> None:
        rows = read_log(log)
        self.start: dict[str, Any] = next((row for row in rows if row.get("kind") == "run"), {})
        self.epochs = [row for row in rows if row.get("kind") == "epoch"]

    @property
    def planned(self) -> int:
        """Epochs of the run's recipe; 0 if there is none."""
        return int(self.start.get("recipe", {}).get("epochs", 0))

    @property
    def is_finished(self) -> bool:
        return 0 < self.planned <= len(self.epochs)

    @property
    def seconds(self) -> float:
        return float(sum(row["seconds"] for row in self.epochs))

    @property
    def machine(self) -> str:
        """On what it ran: device, processes and threads."""
        start = self.start
        processes, threads = start.get("processes", 1), start.get("threads", 1)
        cores = f"{processes} x {threads} threads" if processes > 1 else f"{threads} thread"
        return f"{start.get('device', 'cpu')}, {cores}{'s' if threads > 1 == processes else ''}"

    def accuracy(self) -> list[tuple[float, float, float]]:
        """(share, low, high) after each glimpse in the last whole epoch; 95 % Wilson intervals."""
        if not self.epochs:
            return []
        last = self.epochs[-1]
        count = int(last.get("count", TEST_SCENES))
        shares = last["accuracy"]
        return [(share, *wilson_interval(round(share * count), count)) for share in shares]


def record_of(planned: PlannedRun, folder: Path) -> RunRecord:
    return RunRecord(folder / planned.name / LOG_NAME)


def seconds_left(plans: Iterable[PlannedRun], folder: Path) -> float | None:
    """Time that the epochs left will take, at the pace of each run's own epochs, or else of one
    with the same network; None if neither has a whole epoch."""
    pace: dict[tuple[str, int], float] = {}
    records = [(plan, record_of(plan, folder)) for plan in plans]
    for plan, record in records:
        if record.epochs:
            pace[plan.model, plan.num_glimpses] = record.seconds / len(record.epochs)
    left = 0.0
    for plan, record in records:
        epochs = plan.recipe.epochs - len(record.epochs)
        if epochs <= 0:
            continue
        if record.epochs:
            left += epochs * record.seconds / len(record.epochs)
        elif (plan.model, plan.num_glimpses) in pace:
            left += epochs * pace[plan.model, plan.num_glimpses]
        else:
            return None
    return left


def make_runs(
    plans: Iterable[PlannedRun],
    folder: Path,
    data_dir: Path,
    *,
    before: Callable[[PlannedRun, bool], None] | None = None,
    **options: Any,
) -> list[str]:
    """Makes the runs that are not finished, one after another; each goes on where it stopped.

    Several processes, on one machine or on several with a folder in common, may do this at once: a
    run that another one is making is left out.

    Args:
        plans: the runs, in this order.
        folder: theirs are made in it.
        data_dir: folder with MNIST's four IDX files.
        before: told of each run, and whether it is resumed.
        options: of `mgnet_fast.training.run`, such as threads and device.

    Returns:
        Names of runs that were left out because another process is making them.

    Raises:
        ValueError: an argument is wrong, or a run in the folder was started in another way.
    """
    busy = []
    for plan in plans:
        if record_of(plan, folder).is_finished:
            continue
        with _held(folder / plan.name) as is_ours:
            if not is_ours:
                busy.append(plan.name)
                continue
            resume = (folder / plan.name / SNAPSHOT_NAME).is_file()
            if before is not None:
                before(plan, resume)
            run(
                data_dir=data_dir,
                out=folder / plan.name,
                dataset=plan.dataset,
                model=plan.model,
                recipe=plan.recipe,
                num_glimpses=plan.num_glimpses,
                noise_std=plan.noise_std,
                seed=plan.seed,
                resume=resume,
                **options,
            )
    return busy


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Whether this process may work in a run's folder; ends with the process if not before."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
