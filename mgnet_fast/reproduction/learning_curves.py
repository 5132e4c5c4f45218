"""The curves of the study of gradient rescaling, as numbers, CSV and plot."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mgnet_fast.evaluation.curves import Curve, Panel, draw_curves
from mgnet_fast.reproduction.learning_variants import FACTORS, VARIANTS, slug
from mgnet_fast.reproduction.planned_run import RunRecord
from mgnet_fast.training.run.log import FILE_NAME as LOG_NAME


@dataclass(frozen=True)
class LearningCurve:
    """One run of the study.

    Attributes:
        variant: a name of `VARIANTS`.
        seed: of the run.
        record: its log.
    """

    variant: str
    seed: int
    record: RunRecord

    @property
    def accuracy(self) -> list[float]:
        """Accuracy after the last glimpse, one value per epoch."""
        return [row["accuracy"][-1] for row in self.record.epochs]

    def epochs_to(self, share: float) -> int | None:
        """The first epoch that reaches this accuracy; None if none does."""
        return next((at for at, got in enumerate(self.accuracy, start=1) if got >= share), None)


def found_curves(folder: Path) -> list[LearningCurve]:
    """The runs of the study in a folder with at least one epoch, in the order of `VARIANTS`."""
    found = []
    for variant in VARIANTS:
        for log in sorted(folder.glob(f"{slug(variant)}-seed*/{LOG_NAME}")):
            record = RunRecord(log)
            if record.epochs:
                found.append(LearningCurve(variant, int(record.start["seed"]), record))
    return found


def write_curves(curves: Sequence[LearningCurve], path: Path) -> None:
    """Write one CSV line per run and epoch: accuracy after the first and the last glimpse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ("variant", "seed", "epoch", "of", "first", "last", "gradient_factor", "seconds")
        )
        for curve in curves:
            for row in curve.record.epochs:
                factor = row.get("gradient_factor", curve.record.start["recipe"]["gradient_scale"])
                accuracy = row["accuracy"]
                facts = (curve.variant, curve.seed, row["epoch"], curve.record.planned)
                writer.writerow((*facts, accuracy[0], accuracy[-1], factor, row["seconds"]))


def draw_learning(curves: Sequence[LearningCurve], path: Path, title: str) -> Path:
    """Draw accuracy after the last glimpse against epochs: mean and range of each variant's seeds,
    one panel per optimiser.

    Raises:
        ValueError: there is no curve.
    """
    drawn: dict[str, list[Curve]] = {}
    for variant in dict.fromkeys(curve.variant for curve in curves):
        runs = [curve.accuracy for curve in curves if curve.variant == variant]
        epochs = range(1, min(len(run) for run in runs) + 1)
        at_each = [[run[epoch - 1] for run in runs] for epoch in epochs]
        optimizer, name = variant.split(", ", 1)
        drawn.setdefault(optimizer, []).append(
            Curve(
                f"{name} ({len(runs)} seed{'s' if len(runs) > 1 else ''})",
                list(epochs),
                [sum(shares) / len(shares) for shares in at_each],
                [(min(shares), max(shares)) for shares in at_each] if len(runs) > 1 else (),
                color=list(FACTORS).index(name),
            )
        )
    panels = [
        Panel(f"epochs, {name}", group, counts=True, stretched=True)
        for name, group in drawn.items()
    ]
    return draw_curves(panels, path, title)
