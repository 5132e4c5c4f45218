"""The runs of a table or figure: their options, their progress, and how to make them."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mgnet_fast.evaluation.accuracy import wilson_interval
from mgnet_fast.training.recipe import Recipe
from mgnet_fast.training.run.launch import run
from mgnet_fast.training.run.log import FILE_NAME as LOG_NAME
from mgnet_fast.training.run.log import read_log
from mgnet_fast.training.run.snapshot import FILE_NAME as SNAPSHOT_NAME

TEST_SCENES = 10_000  # for logs without the number of scenes


@dataclass(frozen=True)
class PlannedRun:
    """One training run.

    Attributes:
        name: of its folder.
        dataset, noise_std, model, num_glimpses, recipe, seed, network_fields, antialias: see
            `mgnet_fast.training.run`.
    """

    name: str
    dataset: str
    model: str
    num_glimpses: int | None
    recipe: Recipe
    seed: int = 0
    noise_std: float | None = None
    network_fields: Mapping[str, Any] = field(default_factory=dict)
    antialias: bool | None = None


class RunRecord:
    """The contents of a run's log, finished or not; empty if there is no log.

    Attributes:
        start: the row that describes the run.
        epochs: one row per finished epoch.
    """

    def __init__(self, log: Path) -> None:
        rows = read_log(log)
        self.start: dict[str, Any] = next((row for row in rows if row.get("kind") == "run"), {})
        self.epochs = [row for row in rows if row.get("kind") == "epoch"]

    @property
    def planned(self) -> int:
        """Number of epochs of the run's recipe; 0 if there is none."""
        return int(self.start.get("recipe", {}).get("epochs", 0))

    @property
    def is_finished(self) -> bool:
        return 0 < self.planned <= len(self.epochs)

    @property
    def seconds(self) -> float:
        return float(sum(row["seconds"] for row in self.epochs))

    @property
    def machine(self) -> str:
        """The machine of the run: device, processes and threads."""
        start = self.start
        processes, threads = start.get("processes", 1), start.get("threads", 1)
        cores = f"{processes} x {threads} threads" if processes > 1 else f"{threads} thread"
        return f"{start.get('device', 'cpu')}, {cores}{'s' if threads > 1 == processes else ''}"

    def accuracy(self) -> list[tuple[float, float, float]]:
        """(share, low, high) after each glimpse in the last epoch; 95 % Wilson intervals."""
        if not self.epochs:
            return []
        last = self.epochs[-1]
        count = int(last.get("count", TEST_SCENES))
        shares = last["accuracy"]
        return [(share, *wilson_interval(round(share * count), count)) for share in shares]


def record_of(planned: PlannedRun, folder: Path) -> RunRecord:
    return RunRecord(folder / planned.name / LOG_NAME)


def seconds_left(plans: Iterable[PlannedRun], folder: Path) -> float | None:
    """Time for the remaining epochs, at the pace of each run's own epochs or of a run with the
    same network; None if there is neither."""
    pace: dict[tuple[str, int | None], float] = {}
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
    """Make the unfinished runs one after another; each resumes where it stopped.

    Several processes, on one or several machines with a shared folder, may do this at once: runs
    that another process is making are skipped.

    Args:
        plans: the runs, in this order.
        folder: contains the folders of the runs.
        data_dir: folder with MNIST's four IDX files.
        before: called with each run and whether it is resumed.
        options: of `mgnet_fast.training.run`, such as threads and device.

    Returns:
        Names of the skipped runs.

    Raises:
        ValueError: an argument is wrong, or an existing run was started with other options.
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
                network_fields=plan.network_fields,
                antialias=plan.antialias,
                noise_std=plan.noise_std,
                seed=plan.seed,
                resume=resume,
                **options,
            )
    return busy


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Lock a run's folder for this process; yields whether that worked."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
