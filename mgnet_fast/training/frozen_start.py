"""A backbone that keeps its weights and statistics in the first epochs."""

from __future__ import annotations

from mgnet_fast.models import GlimpseNetwork


class FrozenStart:
    """Keeps the backbone of a network as it is in the first ``epochs`` epochs.

    Its parameters get no gradient, and batch norm uses the statistics of the given weights and
    leaves them alone. The gradient still passes through the backbone to the regions.

    Args:
        model: the network.
        epochs: number of epochs; 0 changes nothing.
    """

    def __init__(self, model: GlimpseNetwork, epochs: int) -> None:
        self._backbone, self._epochs = model.bare_backbone, epochs
        self._is_frozen = False

    def begin(self, epoch: int) -> bool:
        """Freezes or thaws at the start of epoch 0, 1, ..., after ``model.train()``.

        Returns:
            Whether the parameters that get a gradient have changed.
        """
        before, self._is_frozen = self._is_frozen, epoch < self._epochs
        if self._is_frozen:
            self._backbone.eval()
        if self._is_frozen != before:
            self._backbone.requires_grad_(not self._is_frozen)
        return self._is_frozen != before
