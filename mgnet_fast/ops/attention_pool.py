"""Attention over the positions of a map: score, softmax and weighted sum."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_pool(local: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    r"""Sums the vectors of a map, weighted by how well each one fits a query.

    With the vectors :math:`l_{b,i}` of the map at position i of h x w:

    .. math::
        s_{b,i} = \langle q_b, l_{b,i} \rangle, \quad a_b = softmax_i(s_b), \quad
        g_b = \sum_i a_{b,i} l_{b,i}

    Args:
        local: [B, C, h, w] with h w >= 1, of any strides; float64, float32, float16 or bfloat16.
        query: [B, C], or [C] for the same query on every map; of the dtype of ``local``.

    Returns:
        The sums g [B, C] in the dtype of ``local``, and the weights a [B, h, w] in float32
        (float64 for float64), which are positive and sum to 1. Scores, softmax and sums are
        computed in that dtype. Both are differentiable with respect to both arguments.

    Raises:
        TypeError: an argument is not a floating-point tensor, or their dtypes differ.
        ValueError: shapes do not fit, or the map has no position.

    Source: Jetley et al., "Learn to pay attention", 2018, section 3.
    """
    check_attention(local, query)
    return attention_pool_reference(local, query)


def attention_pool_reference(local: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`attention_pool` in plain PyTorch, on any device, without the checks."""
    exact = torch.promote_types(local.dtype, torch.float32)
    vectors = local.flatten(2).to(exact)
    queries = query.to(exact).expand(local.shape[0], local.shape[1])
    scores = torch.bmm(queries.unsqueeze(1), vectors)
    weights = scores.softmax(2)
    pooled = torch.bmm(vectors, weights.transpose(1, 2)).squeeze(2)
    return pooled.to(local.dtype), weights.view(local.shape[0], *local.shape[2:])


def check_attention(local: Tensor, query: Tensor) -> None:
    """Raises TypeError or ValueError for arguments that :func:`attention_pool` refuses."""
    for name, value in (("local", local), ("query", query)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a Tensor, got {type(value).__name__}")
        if not value.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {value.dtype}")
    if local.dim() != 4:
        raise ValueError(f"local must have shape [B, C, h, w], got {list(local.shape)}")
    batch, channels, height, width = local.shape
    if height * width == 0:
        raise ValueError(f"local must have at least one position, got {list(local.shape)}")
    if list(query.shape) not in ([batch, channels], [channels]):
        raise ValueError(
            f"query must have shape [{batch}, {channels}] or [{channels}] for local "
            f"{list(local.shape)}, got {list(query.shape)}"
        )
    if query.dtype != local.dtype:
        raise TypeError(f"query must be {local.dtype} as local is, got {query.dtype}")
