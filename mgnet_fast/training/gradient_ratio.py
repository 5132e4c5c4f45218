"""How strong the gradient through the regions is beside that of the classification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mgnet_fast.models import MGNet

EVERY = 50  # steps


class GradientRatio:
    r"""The ratio of two gradients of the loss at the fused states F_1 ... F_{T-1}.

    .. math:: r = \Big( \sum_{t < T} \|g_t^{loc}\|^2 \Big/ \sum_{t < T} \|g_t^{class}\|^2
        \Big)^{1/2}

    The gradient of the loss at F_t [B, D] comes back through the localization layer
    (:math:`g^{loc}`, rescaled) and through the global class head (:math:`g^{class}`), whence both
    go on to fusion and backbone. The last state has no localization and is left out, and so is the
    glimpse head, which does not use F_t. Without rescaling it would be about r divided by the
    factor s of the paper's equation 5 (exactly so for T = 2). One step in fifty counts, all the
    counted ones of an epoch together.

    Nothing of the training depends on it: the same weights come out, bit for bit. Compiled
    programs have no place for it, and with one glimpse there is no ratio; several processes
    report that of the main one's images.

    Source: the effect that the paper's equation 5 is for; the measure is ours.
    """

    def __init__(self, model: MGNet, steps_per_epoch: int, *, is_on: bool = True) -> None:
        self._model = model
        self._is_on = is_on and model.config.num_glimpses > 1
        self._every = min(EVERY, steps_per_epoch)
        self._sums: list[Tensor] = []

    @contextmanager
    def watched(self, step: int) -> Iterator[None]:
        """Within runs step 0, 1, ... of the training; of several passes the last one counts."""
        if not self._is_on or step % self._every != self._every - 1:
            yield
            return
        found: tuple[list[Tensor], list[Tensor]] = ([], [])
        modules = (self._model.loc_network.fc, self._model.global_fc)
        handles = [
            module.register_forward_pre_hook(_Recorder(squares))
            for module, squares in zip(modules, found, strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        # A backward pass goes from glimpse T to the first: its class head's first is the last's.
        states = self._model.config.num_glimpses - 1
        if all(len(squares) >= states for squares in found):
            self._sums.append(torch.stack([torch.stack(s[-states:]).sum() for s in found]))

    def take(self) -> float | None:
        """The ratio since the last call; None where nothing was counted."""
        if not self._sums:
            return None
        located, classified = torch.stack(self._sums).sum(0).tolist()
        self._sums.clear()
        return float((located / classified) ** 0.5) if classified > 0 else None


class _Recorder:
    """Keeps the squared norm of the gradient that comes back through a module."""

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
