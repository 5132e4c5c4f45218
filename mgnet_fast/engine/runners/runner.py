"""The protocol of a runner, which takes the steps of a network."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .file_images import Images


class StepInput(NamedTuple):
    """What a step works on: S slots with an image each, at any glimpse t of it."""

    images: Images
    """[B, C, H, W], a pool, or files."""

    region: Tensor
    """float32 [S, 3], the regions that the step before returned."""

    tokens: Any
    """Memory of S slots, rows of :meth:`Runner.new_tokens`. The step writes to it: slot i's new
    token goes to ``tokens[i, length[i] - 1]``, and the places after it are not read."""

    length: Tensor
    """int64 [S], the number of glimpses of each slot, this one included."""

    image_index: Tensor | None = None
    """int64 [S], the image of each slot; None if slot i looks at image i."""


class Runner(Protocol):
    """Takes one glimpse of several images at once, each at its own t."""

    config: Any
    num_classes: int
    device: torch.device

    def initial_regions(self, count: int) -> Tensor:
        """The first regions of ``count`` images, float32 [count, 3]."""

    def new_tokens(self, slots: int) -> Any:
        """Memory for what the network knows of ``slots`` images.

        A Tensor [slots, T, D] of tokens for a fused step, :class:`.stepwise.StateRows` for other
        networks. Callers take views of rows and copy rows, nothing else.
        """

    def step(self, given: StepInput) -> tuple[Tensor, Tensor]:
        """Take the glimpse at ``given.region`` of each slot's image.

        Returns:
            Class logits [S, K] and the next regions [S, 3], both float32.
        """
