"""The protocol of a runner: a network that is ready to take steps."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ...ops.images.image_pool import ImagePool


class Runner(Protocol):
    """One glimpse of several images at once, whatever number t each is at."""

    config: Any
    num_classes: int
    device: torch.device

    def initial_regions(self, count: int) -> Tensor:
        """float32 [count, 3], the first region of every image."""

    def new_tokens(self, slots: int) -> Any:
        """Memory for what is known of ``slots`` images: a Tensor [slots, T, D] for the tokens of
        the fused glimpses, or the :class:`.stepwise.StateRows` of another network. The caller only
        takes views of rows and copies rows."""

    def step(
        self,
        images: Tensor | ImagePool,
        region: Tensor,
        tokens: Any,
        length: Tensor,
        image_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Takes the glimpse at ``region`` [S, 3] of each slot's image.

        Args:
            images: [B, C, H, W], or a pool.
            region: float32 [S, 3], the regions that the step before asked for.
            tokens: memory of S slots. Of a Tensor [S, T, D], slot i's new token is written to
                ``tokens[i, length[i] - 1]``, and those after it are not read.
            length: int64 [S], how many glimpses slot i has taken with this one.
            image_index: int64 [S], each slot's image; without it S = B, one each.

        Returns:
            Class logits [S, K] and the next region [S, 3], both float32.
        """
