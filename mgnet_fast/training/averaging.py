"""An exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch

from mgnet_fast.models import GlimpseNetwork


class WeightAverage:
    r"""An exponential moving average of weights, updated after every step.

    .. math:: a \leftarrow d_n a + (1 - d_n) w, \quad d_n = \min(decay, (1 + n) / (10 + n))

    The smaller d of the first steps n lets the average forget the initial weights. With decay 0
    nothing is copied and the network is its own average. Buffers are copied, not averaged.

    Attributes:
        model: the network with the averaged weights.
        steps: number of updates so far.
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
