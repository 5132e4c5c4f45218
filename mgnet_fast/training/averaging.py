"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy

import torch

from mgnet_fast.models import GlimpseNetwork


class WeightAverage:
    """average <- d * average + (1 - d) * weights after every step.

    d is ``min(decay, (1 + n) / (10 + n))`` at step n, so that the start does not linger. With
    decay 0 the model itself stands for its average, and nothing is copied.

    Attributes:
        model: the network that holds the averaged weights.
        steps: updates so far.
    """

    def __init__(self, model: GlimpseNetwork, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._source = model
        self.model = copy.deepcopy(model).requires_grad_(False) if decay else model

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        if not self.decay:
            return
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages = [p.detach() for p in self.model.parameters()]
        weights = [p.detach() for p in self._source.parameters()]
        torch._foreach_lerp_(averages, weights, 1 - keep)
        for average, current in zip(self.model.buffers(), self._source.buffers(), strict=True):
            average.copy_(current)
