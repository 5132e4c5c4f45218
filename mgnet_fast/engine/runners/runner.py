"""What the slots need of a network that is ready to run."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ...models import MGNetConfig
from ...ops.images.image_pool import ImagePool


class Runner(Protocol):
    """One glimpse of several images at once, whatever number t each is at."""

    config: MGNetConfig
    num_classes: int
    device: torch.device

    def initial_regions(self, count: int) -> Tensor:
        """float32 [count, 3], the first region of every image."""

    def new_tokens(self, slots: int) -> Tensor:
        """[slots, T, D], memory for the fused glimpses; what is in it does not matter."""

    def step(
        self,
        images: Tensor | ImagePool,
        region: Tensor,
        tokens: Tensor,
        length: Tensor,
        image_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Takes the glimpse at ``region`` [S, 3] of each slot's image.

        Args:
            images: [B, C, H, W], or a pool.
            region: float32 [S, 3].
            tokens: [S, T, D]; slot i's new token is written to ``tokens[i, length[i] - 1]``, and
                those after it are not read.
            length: int64 [S], how many glimpses slot i has taken with this one.
            image_index: int64 [S], each slot's image; without it S = B, one each.

        Returns:
            Class logits [S, K] and the next region [S, 3], both float32.
        """
