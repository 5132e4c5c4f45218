"""What the engine says about one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """An image's label and how it came about.

    Attributes:
        label: the class of the largest logit.
        logits (Tensor[K]): float32 class logits after the last glimpse taken, on the CPU.
        glimpses: how many were taken.
        regions (Tensor[glimpses, 3]): float32, where they were: (s, x, y) each.
        finite: whether all logits are numbers; where they are not, the label means nothing.
    """

    label: int
    logits: Tensor
    glimpses: int
    regions: Tensor
    finite: bool


def predictions(logits: Tensor, regions: Tensor, glimpses: list[int]) -> list[Prediction]:
    """One for each row of ``logits`` [n, K] and ``regions`` [n, T, 3], both on the CPU.

    Results are views of rows: a copy each would take longer than all else here.
    """
    values = logits.numpy()
    labels = values.argmax(axis=1).tolist()
    finite = np.isfinite(values).all(axis=1).tolist()
    rows, seen = logits.unbind(), regions.unbind()
    return [
        Prediction(labels[n], rows[n], count, seen[n][:count], finite[n])
        for n, count in enumerate(glimpses)
    ]
