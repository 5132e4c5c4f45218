"""The optimiser that a recipe asks for."""

from __future__ import annotations

import torch
from torch import nn

from mgnet_fast.training.recipe import Recipe


def new_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW; weight decay on every parameter.

    The schedule sets learning rate and momentum (for AdamW the first beta) before every step.
    """
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            model.parameters(),
            lr=recipe.peak_lr,
            betas=(recipe.max_momentum, 0.999),
            weight_decay=recipe.weight_decay,
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.peak_lr,
        momentum=recipe.max_momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
