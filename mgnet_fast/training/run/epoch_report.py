"""The results of one epoch of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mgnet_fast.evaluation.accuracy import Accuracy

PARTS = ("loss", "global", "glimpse", "size")


@dataclass(frozen=True)
class EpochReport:
    """One epoch: loss parts averaged over its steps, and accuracy on the test scenes.

    ``seconds`` covers the whole epoch with its evaluation, ``images_per_second`` training alone.
    ``gradient_factor`` is that of the last step, if it changes. ``gradient_ratio`` is that of
    :class:`mgnet_fast.training.gradient_ratio.GradientRatio`, if measured.
    """

    epoch: int
    parts: dict[str, float]
    accuracy: Accuracy
    lr: float
    seconds: float
    images_per_second: float
    gradient_factor: float | None = None
    gradient_ratio: float | None = None

    def to_row(self) -> dict[str, Any]:
        row = {
            "kind": "epoch",
            "epoch": self.epoch,
            **{name: round(value, 6) for name, value in self.parts.items()},
            "accuracy": [round(value, 6) for value in self.accuracy.accuracy],
            "count": self.accuracy.count,
            "mean_scale": [round(value, 4) for value in self.accuracy.mean_scale],
            "at_the_border": [round(value, 4) for value in self.accuracy.at_the_border],
            "lr": float(f"{self.lr:.6g}"),
            "seconds": round(self.seconds, 2),
            "images_per_second": round(self.images_per_second, 1),
        }
        if self.accuracy.top5 is not None:
            row["top5"] = [round(value, 6) for value in self.accuracy.top5]
        if self.gradient_factor is not None:
            row["gradient_factor"] = float(f"{self.gradient_factor:.6g}")
        if self.gradient_ratio is not None:
            row["gradient_ratio"] = float(f"{self.gradient_ratio:.6g}")
        return row
