"""A first glimpse that some images of a batch do not see again."""

from __future__ import annotations

from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.training.recipe import Recipe


class HiddenFirst:
    """Hides the first glimpse from later states in the first steps of a training.

    At first only the whole scene can be read: the later glimpses are placed at random. So the
    attention over glimpses learns to read the first one alone, and its softmax saturates there;
    when the later glimpses have found the object, it takes epochs to notice. With averaging
    glimpses, whose first one reads well, this costs three epochs of translated MNIST. Where a share
    of the images has only later glimpses to answer from, the fusion keeps reading them.

    Args:
        model: its ``hidden_first_share`` is set.
        recipe: gives ``hide_first`` and ``hide_first_steps``.
        total_steps: of the whole training.

    Source: this package.
    """

    def __init__(self, model: GlimpseNetwork, recipe: Recipe, total_steps: int) -> None:
        self._model, self._share = model, recipe.hide_first
        self._steps = recipe.hide_first_steps * total_steps

    def apply(self, step: int) -> None:
        """Sets the share of step 0, 1, ..."""
        self._model.hidden_first_share = self._share if step < self._steps else 0.0
