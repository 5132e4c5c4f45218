"""The one-cycle schedule as a function of the step, so that resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from mgnet_fast.training.recipe import Recipe


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class OneCycle:
    """Learning rate and momentum of each step; equal to torch's ``OneCycleLR`` with cosines.

    Attributes:
        recipe: peak, shares and factors.
        total_steps: steps of the whole training.
    """

    recipe: Recipe
    total_steps: int

    def at(self, step: int) -> tuple[float, float]:
        """(learning rate, momentum) of step 0, 1, ... total_steps - 1."""
        recipe = self.recipe
        first_lr = recipe.peak_lr / recipe.div_factor
        last_lr = first_lr / recipe.final_div_factor
        turn = recipe.pct_start * self.total_steps - 1
        if step <= turn:
            share = step / turn if turn > 0 else 1.0
            return (
                _cosine(first_lr, recipe.peak_lr, share),
                _cosine(recipe.max_momentum, recipe.base_momentum, share),
            )
        share = (step - turn) / max(self.total_steps - 1 - turn, 1)
        return (
            _cosine(recipe.peak_lr, last_lr, share),
            _cosine(recipe.base_momentum, recipe.max_momentum, share),
        )

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> float:
        """Sets learning rate and momentum for this step; returns the learning rate."""
        lr, momentum = self.at(step)
        for group in optimizer.param_groups:
            group["lr"] = lr
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        return lr
