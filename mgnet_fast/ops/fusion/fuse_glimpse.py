"""The registered op of the fusion at inference, and the same in plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import REAL_DTYPES, check_tensor, dtype_name, dtype_names, type_name
from ..autocast import without_autocast
from ..backends import choice as backends
from ..tracing import is_plain_eager
from . import triton_fusion
from .fusion_weights import FoldedFusion

INFERENCE_ONLY = (
    "fuse_glimpse is for inference and has no gradient: call it under torch.no_grad() or "
    "inference_mode(), and train with the network's own fusion"
)


def reference(tokens: Tensor, length: Tensor, folded: FoldedFusion) -> Tensor:
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
        return attended(known, newest, length, folded)


def attended(known: Tensor, newest: Tensor, length: Tensor, folded: FoldedFusion) -> Tensor:
    """The fused tokens [S, D], from a cache whose unused places are 0, the newest token of each
    slot [S, D] and the lengths [S, 1]."""
    query = F.linear(newest, folded.key_query, folded.key_bias)
    scores = (known @ query.unsqueeze(2)).squeeze(2) / math.sqrt(known.shape[2])
    # No used place gives softmax of nothing but -inf: NaN. Too long a length is made the same.
    places = torch.arange(1, known.shape[1] + 1, device=known.device)
    used = (places <= length) & (length <= known.shape[1])
    weights = scores.masked_fill(~used, -math.inf).softmax(dim=1)
    return F.linear((weights.unsqueeze(1) @ known).squeeze(1), folded.out_value, folded.out_bias)


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
    folded = FoldedFusion(key_query, key_bias, out_value, out_bias)
    return _IMPLEMENTATIONS[backend](tokens, length, folded)


@fuse_glimpse_op.register_fake
def _(tokens: Tensor, length: Tensor, *others: Any) -> Tensor:
    return tokens.new_empty(tokens.shape[0], tokens.shape[2])


def _refuse_gradient(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(INFERENCE_ONLY)


fuse_glimpse_op.register_autograd(_refuse_gradient)


def fuse_glimpse(
    tokens: Tensor, length: Tensor, folded: FoldedFusion, *, backend: str | None = None
) -> Tensor:
    r"""One-head attention of the newest glimpse over all glimpses of its slot, for inference.

    With the tokens :math:`h_1, ..., h_t` of a slot (features with their regions appended) and
    t = length (MGNet, section 3.2, eq. 3, up to LayerNorm):

    .. math::
        a = \mathrm{softmax}_j(h_j \cdot (W_k^T W_q h_t + W_k^T b_q) / \sqrt{D}), \quad
        out = W_o W_v \sum_{j \le t} a_j h_j + W_o b_v + b_o

    It equals row t of :class:`torch.nn.MultiheadAttention` over the slot's tokens, with two
    products of D x D a step instead of four; slots at different t share a call.

    Args:
        tokens (Tensor[S, T, D]): the cache of S slots, float32 or float64. Places from ``length``
            on are not read: they may hold anything.
        length (Tensor[S]): int64, the glimpses of each slot, the newest included: 1..T.
        folded (FoldedFusion): the weights, of the dtype of ``tokens``; see
            :meth:`FoldedFusion.of`.
        backend: as in :func:`glimpse`; "cpu" and "reference" are both plain PyTorch here.

    Returns:
        Tensor[S, D], of the dtype of ``tokens``, also under autocast. Where checking would wait
        for the device or cannot be traced, a row whose length is not in 1..T is NaN.

    Not differentiable.

    Raises:
        TypeError: a tensor of the wrong type or dtype.
        ValueError: a shape or device that does not fit; on the CPU a length that is not in 1..T;
            a backend that cannot run.
        RuntimeError: a gradient is wanted.
    """
    check_fusion(tokens, length, folded)
    chosen = backends.choose(tokens.device.type, backend)
    if torch.is_grad_enabled() and any(each.requires_grad for each in (tokens, *folded)):
        raise RuntimeError(INFERENCE_ONLY)
    if is_plain_eager(tokens, length, *folded):
        return _IMPLEMENTATIONS[chosen](tokens, length, folded)
    return fuse_glimpse_op(tokens, length, *folded, chosen)


def check_fusion(tokens: Tensor, length: Tensor, folded: FoldedFusion) -> None:
    _check_tokens(tokens, length)
    if not isinstance(folded, FoldedFusion):
        raise TypeError(f"folded must be a FoldedFusion, got {type_name(folded)}")
    dim = tokens.shape[2]
    for name, part in folded._asdict().items():
        wanted = [dim, dim] if name in ("key_query", "out_value") else [dim]
        if list(part.shape) != wanted:
            raise ValueError(
                f"folded.{name} must have shape {wanted} for tokens of width {dim}, "
                f"got {list(part.shape)}"
            )
        if part.dtype != tokens.dtype:
            raise TypeError(
                f"folded.{name} must have tokens' dtype {dtype_name(tokens.dtype)}, "
                f"got {dtype_name(part.dtype)}"
            )
        if part.device != tokens.device:
            raise ValueError(
                f"folded.{name} must be on tokens' device {tokens.device}, got {part.device}"
            )


def _check_tokens(tokens: Tensor, length: Tensor) -> None:
    check_tensor("tokens", tokens)
    check_tensor("length", length)
    if tokens.dim() != 3 or tokens.shape[1] < 1:
        raise ValueError(f"tokens must have shape [S, T, D] with T >= 1, got {list(tokens.shape)}")
    if tokens.dtype not in REAL_DTYPES:
        raise TypeError(
            f"tokens must have dtype {dtype_names(REAL_DTYPES)}, got {dtype_name(tokens.dtype)}"
        )
    if length.dtype != torch.int64:
        raise TypeError(f"length must have dtype int64, got {dtype_name(length.dtype)}")
    if length.shape != tokens.shape[:1]:
        raise ValueError(
            f"length must have shape [{tokens.shape[0]}], one for each slot, "
            f"got {list(length.shape)}"
        )
    if length.device != tokens.device:
        raise ValueError(f"length must be on tokens' device {tokens.device}, got {length.device}")
    if length.device.type == "cpu" and length.numel() > 0 and is_plain_eager(length):
        least, most = (int(bound) for bound in torch.aminmax(length))
        if least < 1 or most > tokens.shape[1]:
            raise ValueError(
                f"length must lie in 1..{tokens.shape[1]}, the places of tokens, "
                f"got {least if least < 1 else most}"
            )
