"""Compares the gradient through the regions with that of the classification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mgnet_fast.models import GlimpseNetwork

EVERY = 50  # steps


class GradientRatio:
    r"""The ratio of two gradients of the loss at the fused states F_1 ... F_{T-1}.

    .. math:: r = \Big( \sum_{t < T} \|g_t^{loc}\|^2 \Big/ \sum_{t < T} \|g_t^{class}\|^2
        \Big)^{1/2}

    The gradient of the loss at F_t [B, D] arrives through the localization layer
    (:math:`g^{loc}`, after rescaling) and through the class head (:math:`g^{class}`); both then
    flow into fusion and backbone. The last state is left out because it places no glimpse, and
    the glimpse head because it does not use F_t. Without rescaling the ratio would be about r
    divided by the factor s of the paper's equation 5 (exactly, for T = 2). One step in fifty is
    measured; the ratio of an epoch is that of all its measured steps together.

    Measuring changes no weight by a bit. There is no ratio in compiled programs, with one
    glimpse, or without a localization layer. Of several processes the main one reports that of
    its own images.

    Source: this package; the paper's equation 5 addresses the same effect.
    """

    def __init__(self, model: GlimpseNetwork, steps_per_epoch: int, *, is_on: bool = True) -> None:
        self._model = model
        self._path = model.localization if is_on and model.config.num_glimpses > 1 else None
        self._every = min(EVERY, steps_per_epoch)
        self._sums: list[Tensor] = []

    @contextmanager
    def watched(self, step: int) -> Iterator[None]:
        """Measures training step 0, 1, ... run inside; of several passes the last one counts."""
        if self._path is None or step % self._every != self._every - 1:
            yield
            return
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        modules = (self._path.head, self._path.classifier)
        handles = [
            module.register_forward_pre_hook(_Recorder(squares))
            for module, squares in zip(modules, found, strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        # The backward pass runs from glimpse T to 1, so the class head's first entry is that of T.
        states = self._model.config.num_glimpses - 1
        if all(len(squares) >= states for squares in found):
            self._sums.append(torch.stack([torch.stack(s[-states:]).sum() for s in found]))

    def take(self) -> float | None:
        """The ratio since the last call; None if nothing was measured."""
        if not self._sums:
            return None
        located, classified = torch.stack(self._sums).sum(0).tolist()
        self._sums.clear()
        return float((located / classified) ** 0.5) if classified > 0 else None


class _Recorder:
    """Keeps the squared norms of the gradients at a module's input."""

    def __init__(self, squares: list[Tensor]) -> None:
        self._squares = squares

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not inputs[0].requires_grad:
            return inputs
        branch = inputs[0].view_as(inputs[0])
        branch.register_hook(self._keep)
        return (branch, *inputs[1:])

    def _keep(self, gradient: Tensor) -> None:
        self._squares.append(gradient.detach().double().square().sum())
