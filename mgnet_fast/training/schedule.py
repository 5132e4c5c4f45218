"""The optimiser of a recipe and its one-cycle schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from mgnet_fast.training.layer_rates import parameter_groups
from mgnet_fast.training.recipe import Recipe


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


@dataclass(frozen=True)
class OneCycle:
    """Learning rate and momentum as functions of the step, so that resuming needs no state.

    Equal to torch's ``OneCycleLR`` with cosine annealing.

    Attributes:
        recipe: gives the peak, the rising share and the factors.
        total_steps: number of steps of the whole training.
    """

    recipe: Recipe
    total_steps: int

    def at(self, step: int) -> tuple[float, float]:
        """(learning rate, momentum) of ``step``, in 0..total_steps - 1."""
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
        """Sets learning rate and momentum of ``step``; returns the learning rate.

        A group's rate is ``lr_factor`` times that, if the group has one.
        """
        lr, momentum = self.at(step)
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1.0)
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            else:
                group["momentum"] = momentum
        return lr


def new_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, with weight decay on every parameter.

    Groups: see :func:`parameter_groups`.

    :class:`OneCycle` sets learning rate and momentum (AdamW: the first beta) before every step.
    """
    groups = parameter_groups(model, recipe.layer_decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            groups,
            lr=recipe.peak_lr,
            betas=(recipe.max_momentum, 0.999),
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.SGD(
        groups,
        lr=recipe.peak_lr,
        momentum=recipe.max_momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
