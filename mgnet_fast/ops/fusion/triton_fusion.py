"""The fusion at inference in the Triton backend: kernels between matrix products of torch."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..autocast import without_autocast
from .fusion_weights import FoldedFusion, StepWeights


@cache
def _kernels() -> Any:
    return importlib.import_module("mgnet_fast.kernels.fusion")


def fuse_glimpse(tokens: Tensor, length: Tensor, folded: FoldedFusion) -> Tensor:
    newest = _contiguous(tokens)
    _kernels().run_append(newest, tokens, length.contiguous())
    return _attended(newest, tokens, length, folded)


def fusion_step(
    feature: Tensor, region: Tensor, tokens: Tensor, length: Tensor, weights: StepWeights
) -> tuple[Tensor, Tensor]:
    newest = _contiguous(tokens)
    length = length.contiguous()
    _kernels().run_append(newest, tokens, length, feature, region)
    fused = _attended(newest, tokens, length, weights.folded)
    state = torch.empty_like(fused)
    following = region.new_empty(region.shape)
    _kernels().run_state(
        state, following, fused, weights.norm, weights.locate, weights.epsilon,
        weights.scale_range,
    )  # fmt: skip
    class_weight, class_bias = weights.classify
    return torch.addmm(class_bias, state, class_weight.T).float(), following


def _contiguous(tokens: Tensor) -> Tensor:
    return tokens.new_empty(tokens.shape[0], tokens.shape[2])


def _attended(newest: Tensor, tokens: Tensor, length: Tensor, folded: FoldedFusion) -> Tensor:
    with without_autocast(tokens.device.type):
        query = torch.addmm(folded.key_bias, newest, folded.key_query.T)
        mixed = torch.empty_like(newest)
        _kernels().run_attention(mixed, tokens, query, length.contiguous())
        return torch.addmm(folded.out_bias, mixed, folded.out_value.T)
