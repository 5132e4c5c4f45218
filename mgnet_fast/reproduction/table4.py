"""Table 4 of the paper: accuracy and multiply-adds on translated MNIST, clean and noisy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mgnet_fast.data import SCENE_SIZE, dataset_noise
from mgnet_fast.models import count_multiply_adds, create_model
from mgnet_fast.reproduction.planned_run import PlannedRun, RunRecord
from mgnet_fast.training.recipe import get_recipe, hides_first
from mgnet_fast.training.run.log import FILE_NAME as LOG_NAME


@dataclass(frozen=True)
class TableRow:
    """A network on a dataset, with the paper's results.

    Attributes:
        title: the dataset's name in the table.
        dataset, noise_std, model, num_glimpses, antialias: of its runs.
        epochs: default number of epochs.
        paper_accuracy: per cent after 1..T glimpses; empty if the paper has no number.
        paper_cost: million multiply-adds of 1..T glimpses, as printed.
    """

    title: str
    dataset: str
    model: str
    num_glimpses: int
    epochs: int
    paper_accuracy: tuple[float, ...] = ()
    paper_cost: tuple[float, ...] = ()
    noise_std: float | None = None
    antialias: bool = False


_COSTS = (3.471, 7.011, 10.619, 14.296, 18.042)
# FF-Net takes 6.4 times the multiply-adds of three glimpses, so it gets fewer epochs.
ROWS: dict[str, TableRow] = {
    "ffnet": TableRow("translated", "translated-mnist", "ffnet_toy", 1, 5, (99.48,), (67.950,)),
    "mgnet": TableRow(
        "translated", "translated-mnist", "mgnet_toy", 3, 52, (84.37, 99.31, 99.54), _COSTS[:3]
    ),
    "noisy-ffnet": TableRow(
        "noisy, .3", "noisy-translated-mnist", "ffnet_toy", 1, 5, (99.10,), (67.950,)
    ),
    "noisy-mgnet": TableRow(
        "noisy, .3", "noisy-translated-mnist", "mgnet_toy", 5, 30,
        (63.19, 97.88, 98.87, 99.02, 99.07), _COSTS,
    ),
    "noisier-mgnet": TableRow(
        "noisy, .5", "noisy-translated-mnist", "mgnet_toy", 5, 30, noise_std=0.5
    ),
    # Antialiased looks, which the paper does not have.
    "mgnet-antialias": TableRow(
        "translated", "translated-mnist", "mgnet_toy", 3, 24, antialias=True
    ),
    "noisy-mgnet-antialias": TableRow(
        "noisy, .3", "noisy-translated-mnist", "mgnet_toy", 5, 30, antialias=True
    ),
    "noisier-mgnet-antialias": TableRow(
        "noisy, .5", "noisy-translated-mnist", "mgnet_toy", 5, 30, noise_std=0.5, antialias=True
    ),
}  # fmt: skip


@dataclass(frozen=True)
class TableRun:
    """A run in a folder: its row, its seed and its log."""

    name: str
    row: TableRow
    seed: int
    record: RunRecord
    checkpoint: Path


def table_runs(
    rows: Iterable[str], seeds: Iterable[int], epochs: int | None = None
) -> list[PlannedRun]:
    """The runs of these rows; all rows of the first seed come first.

    Raises:
        ValueError: a row is unknown.
    """
    chosen = list(rows)
    for name in chosen:
        if name not in ROWS:
            raise ValueError(f"rows must be of {', '.join(ROWS)}, got {name!r}")
    return [
        PlannedRun(
            f"{name}-seed{seed}",
            ROWS[name].dataset,
            ROWS[name].model,
            ROWS[name].num_glimpses,
            get_recipe(
                "default",
                epochs=epochs or ROWS[name].epochs,
                **hides_first("default", ROWS[name].model, ROWS[name].antialias),
            ),
            seed,
            ROWS[name].noise_std,
            antialias=ROWS[name].antialias,
        )
        for seed in seeds
        for name in chosen
    ]


def found_runs(folder: Path) -> list[TableRun]:
    """The runs of table 4 in a folder, finished or not, in the table's order.

    Raises:
        ValueError: a folder has a row's name, but its log is of another network or dataset.
    """
    found = []
    for name, row in ROWS.items():
        for log in sorted(folder.glob(f"{name}-seed*/{LOG_NAME}")):
            record = RunRecord(log)
            if not record.epochs:
                continue
            wanted = {
                "dataset": row.dataset,
                "noise_std": dataset_noise(row.dataset, row.noise_std),
                "model": row.model,
                "num_glimpses": row.num_glimpses,
                "antialias": row.antialias,
            }
            got = {"antialias": False}  # of runs older than the option
            got |= {key: record.start[key] for key in wanted if key in record.start}
            if got != wanted:
                raise ValueError(f"{log} must be of a run with {wanted}, got one with {got}")
            checkpoint = log.with_name("model.safetensors")
            seed = int(record.start["seed"])
            found.append(TableRun(log.parent.name, row, seed, record, checkpoint))
    return found


def multiply_adds(row: TableRow) -> list[int]:
    """Multiply-adds of 1..T glimpses, in the paper's convention."""
    model = create_model(row.model, num_glimpses=row.num_glimpses)
    return [
        count_multiply_adds(model, SCENE_SIZE, "paper", num_glimpses=steps)
        for steps in range(1, row.num_glimpses + 1)
    ]
