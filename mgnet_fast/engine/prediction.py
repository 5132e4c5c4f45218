"""What the engine says about one image."""

from __future__ import annotations

from dataclasses import dataclass

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
