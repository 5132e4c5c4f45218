"""The engine's result for one image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """An image's label and the glimpses that led to it.

    Attributes:
        label: the class of the largest logit.
        logits (Tensor[K]): float32 class logits after the last glimpse taken, on the CPU.
        glimpses: number of steps taken; for MGNet the number of glimpses.
        regions (Tensor[looks, 3] or Tensor[looks, 4]): float32, the regions looked at:
            (s, x, y) or (s_x, s_y, x, y) each; for MGNet one per glimpse.
        finite: whether all logits are finite; otherwise the label is meaningless.
    """

    label: int
    logits: Tensor
    glimpses: int
    regions: Tensor
    finite: bool


def predictions(
    logits: Tensor, regions: Tensor, glimpses: list[int], looks: tuple[int, ...] | None = None
) -> list[Prediction]:
    """One prediction per row of ``logits`` [n, K] and ``regions`` [n, T, 3], both on the CPU.

    If a step takes several looks, ``looks`` gives their numbers, and regions are
    [n, T, R, 3 or 4]. Predictions hold views of rows, because copies would dominate the time.
    """
    if looks is not None and regions.dim() == 4:
        regions = taken_looks(regions.transpose(0, 1), looks).transpose(0, 1)
        ends = [0, *accumulate(looks)]
    else:
        ends = list(range(max(glimpses, default=0) + 1))
    values = logits.numpy()
    labels = values.argmax(axis=1).tolist()
    finite = np.isfinite(values).all(axis=1).tolist()
    rows, seen = logits.unbind(), regions.unbind()
    return [
        Prediction(labels[n], rows[n], count, seen[n][: ends[count]], finite[n])
        for n, count in enumerate(glimpses)
    ]


def taken_looks(regions: Tensor, looks: tuple[int, ...]) -> Tensor:
    """Regions [sum of looks, n, 3 or 4] of padded ones [T, n, R, 3 or 4]."""
    steps = [each[:, :count].transpose(0, 1) for each, count in zip(regions, looks, strict=False)]
    return torch.cat(steps)
