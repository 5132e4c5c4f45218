"""The fusion step at inference in C++."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends import native
from .fusion_weights import StepWeights


def takes_step(region: Tensor, tokens: Tensor, length: Tensor, weights: StepWeights) -> bool:
    """Whether :func:`fusion_step` serves these: all float32, each token's numbers side by side."""
    return (
        tokens.dtype == region.dtype == weights.folded.key_query.dtype == torch.float32
        and length.dtype == torch.int64
        and tokens.stride(2) == 1
    )


def fusion_step(
    feature: Tensor, region: Tensor, tokens: Tensor, length: Tensor, weights: StepWeights
) -> tuple[Tensor, Tensor]:
    """As :func:`mgnet_fast.ops.fusion.fusion_step.fusion_step`.

    The bits of a slot depend neither on the other slots, nor on the number of threads.
    """
    slots, places, width = tokens.shape
    feature, region, length = feature.float().contiguous(), region.contiguous(), length.contiguous()
    if feature.shape != (slots, width - 3) or region.shape != (slots, 3):
        raise ValueError(
            f"feature and region must be {[slots, width - 3]} and {[slots, 3]}, as tokens are "
            f"{[slots, places, width]}, got {list(feature.shape)} and {list(region.shape)}"
        )
    if length.shape != (slots,):
        raise ValueError(f"length must be {[slots]}, got {list(length.shape)}")
    layers = (weights.norm, weights.classify, weights.locate)
    parts = (*weights.folded, *(part for layer in layers for part in layer))
    logits = torch.empty(slots, len(weights.classify[1]))
    following = torch.empty(slots, 3)
    native.extension.fusion_step(
        feature.data_ptr(), region.data_ptr(), length.data_ptr(), slots, places, width,
        logits.shape[1], tokens.data_ptr(), tokens.stride(0), tokens.stride(1),
        *(part.data_ptr() for part in parts), weights.epsilon, *weights.scale_range,
        logits.data_ptr(), following.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return logits, following
