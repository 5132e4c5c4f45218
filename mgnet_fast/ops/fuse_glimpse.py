"""The registered op of the fusion at inference, its folded weights, and plain PyTorch for both.

One head and one query leave two products a step instead of four. With query token h_t,

    q_t . k_j = h_j . (Wk^T Wq h_t + Wk^T bq) + what is the same for all j

and softmax drops what is the same for all; and as its weights a_j sum to one,

    Wo sum_j a_j (Wv h_j + bv) + bo = (Wo Wv) sum_j a_j h_j + (Wo bv + bo).

So the tokens are cached as they are, and neither keys nor values exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import triton_fusion
from .autocast import without_autocast
from .dispatch import is_plain_eager

INFERENCE_ONLY = (
    "fuse_glimpse is for inference and has no gradient: call it under torch.no_grad() or "
    "inference_mode(), and train with the network's own fusion"
)


class FoldedFusion(NamedTuple):
    """The weights of one-head attention, multiplied out for :func:`fuse_glimpse`.

    Attributes:
        key_query (Tensor[D, D]): Wk^T Wq.
        key_bias (Tensor[D]): Wk^T bq.
        out_value (Tensor[D, D]): Wo Wv.
        out_bias (Tensor[D]): Wo bv + bo.
    """

    key_query: Tensor
    key_bias: Tensor
    out_value: Tensor
    out_bias: Tensor

    @staticmethod
    def of(attention: nn.MultiheadAttention, dtype: torch.dtype | None = None) -> FoldedFusion:
        """Folds the parameters of ``attention``; the products are taken in float64.

        Args:
            attention: with one head and biases, such as ``FeatureFusion.mha``.
            dtype: of the result (default: that of the parameters).

        Raises:
            ValueError: it has several heads, no biases, or separate widths of keys and values.
        """
        if attention.num_heads != 1 or attention.in_proj_weight is None:
            raise ValueError(
                "attention must have one head and one width of queries, keys and values, "
                f"got {attention.num_heads} heads, widths {attention.embed_dim}, "
                f"{attention.kdim}, {attention.vdim}"
            )
        if attention.in_proj_bias is None or attention.bias_k is not None:
            raise ValueError("attention must have biases in its projections and no bias_k, bias_v")
        dtype = attention.in_proj_weight.dtype if dtype is None else dtype
        query, key, value = attention.in_proj_weight.detach().double().chunk(3)
        query_bias, _, value_bias = attention.in_proj_bias.detach().double().chunk(3)
        out = attention.out_proj.weight.detach().double()
        out_bias = attention.out_proj.bias.detach().double()
        folded = (key.T @ query, key.T @ query_bias, out @ value, out @ value_bias + out_bias)
        return FoldedFusion(*(part.to(dtype).contiguous() for part in folded))


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
