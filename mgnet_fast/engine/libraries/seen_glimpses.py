"""The glimpses that a network takes of sample images."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import Tensor

from ...models import GlimpseNetwork
from ..runners.eager import runner_of
from ..schedule.every_glimpse import every_glimpse

_ROWS = 32  # images in flight


def seen_glimpses(model: GlimpseNetwork, batches: Iterable[Tensor]) -> list[Tensor]:
    """All glimpses of all images, float32 [N, C, h, w] each; the steps of 32 images in turn.

    Args:
        model: takes the glimpses, in float32.
        batches: images [B, C, H, W].
    """
    ready = copy.deepcopy(model).float().eval().cpu()
    seen: list[Tensor] = []
    ready.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    runner = runner_of(ready, memory_format=torch.contiguous_format)
    for batch in batches:
        every_glimpse(runner, batch, _ROWS)
    return seen
