"""The registered op of the fusion at inference, and the same in plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..autocast import without_autocast
from ..tracing import is_plain_eager
from . import triton_fusion
from .fusion_weights import FoldedFusion

INFERENCE_ONLY = (
    "fuse_glimpse is for inference and has no gradient: call it under torch.no_grad() or "
    "inference_mode(), and train with the network's own fusion"
)


def reference(
    tokens: Tensor,
    length: Tensor,
    key_query: Tensor,
    key_bias: Tensor,
    out_value: Tensor,
    out_bias: Tensor,
) -> Tensor:
    """The op in plain PyTorch, on any device, in any floating dtype, without a host wait.

    A row whose length is not one of 1..T is all NaN.
    """
    if tokens.shape[0] == 0:
        return tokens.new_empty(0, tokens.shape[2])
    with without_autocast(tokens.device.type):
        length = length.unsqueeze(1)
        places = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        # Unused places may hold anything, NaN included, and 0 * NaN is NaN.
        known = tokens.masked_fill((places > length).unsqueeze(2), 0.0)
        newest = ((places == length).to(tokens.dtype).unsqueeze(1) @ known).squeeze(1)
        return attended(known, newest, length, key_query, key_bias, out_value, out_bias)


def attended(
    known: Tensor,
    newest: Tensor,
    length: Tensor,
    key_query: Tensor,
    key_bias: Tensor,
    out_value: Tensor,
    out_bias: Tensor,
) -> Tensor:
    """The fused tokens [S, D], from a cache whose unused places are 0, the newest token of each
    slot [S, D] and the lengths [S, 1]."""
    query = F.linear(newest, key_query, key_bias)
    scores = (known @ query.unsqueeze(2)).squeeze(2) / math.sqrt(known.shape[2])
    # No used place gives softmax of nothing but -inf: NaN. Too long a length is made the same.
    places = torch.arange(1, known.shape[1] + 1, device=known.device)
    used = (places <= length) & (length <= known.shape[1])
    weights = scores.masked_fill(~used, -math.inf).softmax(dim=1)
    return F.linear((weights.unsqueeze(1) @ known).squeeze(1), out_value, out_bias)


# From a backend to what computes the op there. The matrix products are all that takes time on a
# CPU, and plain PyTorch hands them to the same library as C++ would.
_IMPLEMENTATIONS: dict[str, Callable[..., Tensor]] = {
    "cpu": reference,
    "triton": triton_fusion.fuse_glimpse,
    "cuda": reference,
    "reference": reference,
}


@torch.library.custom_op("mgnet_fast::fuse_glimpse", mutates_args=())
def fuse_glimpse_op(
    tokens: Tensor,
    length: Tensor,
    key_query: Tensor,
    key_bias: Tensor,
    out_value: Tensor,
    out_bias: Tensor,
    backend: str,
) -> Tensor:
    return _IMPLEMENTATIONS[backend](tokens, length, key_query, key_bias, out_value, out_bias)


@fuse_glimpse_op.register_fake
def _(tokens: Tensor, length: Tensor, *others: Any) -> Tensor:
    return tokens.new_empty(tokens.shape[0], tokens.shape[2])


def _refuse_gradient(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(INFERENCE_ONLY)


fuse_glimpse_op.register_autograd(_refuse_gradient)


def fuse_glimpse(tokens: Tensor, length: Tensor, folded: FoldedFusion, backend: str) -> Tensor:
    """The op by its fastest way; see ``functional.fuse_glimpse``.

    Raises:
        RuntimeError: a gradient is wanted.
    """
    if torch.is_grad_enabled() and any(each.requires_grad for each in (tokens, *folded)):
        raise RuntimeError(INFERENCE_ONLY)
    if is_plain_eager(tokens, length, *folded):
        return _IMPLEMENTATIONS[backend](tokens, length, *folded)
    return fuse_glimpse_op(tokens, length, *folded, backend)
