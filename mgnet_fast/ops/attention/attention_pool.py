"""Attention over the positions of a map: score, softmax and weighted sum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..autocast import without_autocast
from ..backends import choice as backends
from ..tracing import is_plain_eager, under_functorch
from . import native_attention, triton_attention
from .layouts import like

_KERNELS: dict[str, Any] = {"cpu": native_attention, "triton": triton_attention}

SECOND_DERIVATIVE = (
    "the kernel of attention_pool has no second derivative; backend='reference' has one"
)


def attention_pool(
    local: Tensor, query: Tensor, *, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    r"""Sums the vectors of a map, weighted by how well each one fits a query.

    With the vectors :math:`l_{b,i}` of the map at position i of h x w:

    .. math::
        s_{b,i} = \langle q_b, l_{b,i} \rangle, \quad a_b = softmax_i(s_b), \quad
        g_b = \sum_i a_{b,i} l_{b,i}

    Args:
        local: [B, C, h, w] with h w >= 1, of any strides; float64, float32, float16 or bfloat16.
        query: [B, C], or [C] for the same query on every map; of the dtype of ``local``.
        backend: as in :func:`glimpse`. "cpu" has a kernel for float32 maps whose positions
            (contiguous) or channels (``channels_last``) lie side by side, "triton" for maps on a
            GPU; everything else is plain PyTorch.

    Returns:
        The sums g [B, C] in the dtype of ``local``, and the weights a [B, h, w] in float32
        (float64 for float64), which are positive and sum to 1. Scores, softmax and sums are
        computed in that dtype, also under autocast. Both are differentiable with respect to both
        arguments, by the kernel once, by ``backend="reference"`` any number of times.

    Raises:
        TypeError: an argument is not a floating-point tensor, or their dtypes differ.
        ValueError: shapes or devices do not fit, the map has no position, or the backend cannot
            run.

    Source: Jetley et al., "Learn to pay attention", 2018, section 3.
    """
    check_attention(local, query)
    chosen = backends.choose(local.device.type, backend)
    kernels = _KERNELS.get(chosen)
    if kernels is None or under_functorch() or not kernels.takes(local, query):
        return attention_pool_reference(local, query)
    if not is_plain_eager(local, query):
        return attention_pool_op(local, query, chosen)
    if torch.is_grad_enabled() and (local.requires_grad or query.requires_grad):
        return _EagerAttention.apply(local, query, kernels)
    return kernels.attention_pool(local, query)


def attention_pool_reference(local: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`attention_pool` in plain PyTorch, on any device, without the checks."""
    exact = _exact(local)
    with without_autocast(local.device.type):
        vectors = local.flatten(2).to(exact)
        queries = query.to(exact).expand(local.shape[0], local.shape[1])
        weights = torch.bmm(queries.unsqueeze(1), vectors).softmax(2)
        pooled = torch.bmm(vectors, weights.transpose(1, 2)).squeeze(2)
    return pooled.to(local.dtype), weights.view(local.shape[0], *local.shape[2:])


@torch.library.custom_op("mgnet_fast::attention_pool", mutates_args=())
def attention_pool_op(local: Tensor, query: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return _KERNELS[backend].attention_pool(local, query)


@attention_pool_op.register_fake
def _(local: Tensor, query: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    batch, channels, height, width = local.shape
    weights = local.new_empty(batch, height, width, dtype=_exact(local))
    return local.new_empty(batch, channels), weights


@torch.library.custom_op("mgnet_fast::attention_pool_backward", mutates_args=())
def attention_pool_backward_op(
    local: Tensor,
    query: Tensor,
    weights: Tensor,
    from_pooled: Tensor,
    from_weights: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor]:
    of_local, of_query = _KERNELS[backend].attention_pool_backward(
        local, query, weights, from_pooled, from_weights, wants_local=True
    )
    assert of_local is not None
    return of_local, of_query


@attention_pool_backward_op.register_fake
def _(local: Tensor, query: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return like(local), local.new_empty(local.shape[:2], dtype=_exact(local))


def _refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(SECOND_DERIVATIVE)


attention_pool_backward_op.register_autograd(_refuse_second_derivative)


def _setup_context(
    ctx: Any, inputs: tuple[Tensor, Tensor, str], output: tuple[Tensor, Tensor]
) -> None:
    local, query, ctx.backend = inputs
    ctx.save_for_backward(local, query, output[1])


def _backward(ctx: Any, from_pooled: Tensor, from_weights: Tensor) -> tuple[Tensor, Tensor, None]:
    local, query, weights = ctx.saved_tensors
    of_local, of_query = attention_pool_backward_op(
        local, query, weights, from_pooled, from_weights, ctx.backend
    )
    return of_local, _of_query(of_query, query), None


attention_pool_op.register_autograd(_backward, setup_context=_setup_context)


def _exact(local: Tensor) -> torch.dtype:
    """Of scores, softmax and sums."""
    return torch.promote_types(local.dtype, torch.float32)


def _of_query(of_each: Tensor, query: Tensor) -> Tensor:
    """The gradient of the query, from those of the query of each map [B, C]."""
    return (of_each.sum(0) if query.dim() == 1 else of_each).to(query.dtype)


class _EagerAttention(torch.autograd.Function):
    """The op without the dispatcher."""

    @staticmethod
    def forward(ctx: Any, local: Tensor, query: Tensor, kernels: Any) -> tuple[Tensor, Tensor]:
        pooled, weights = kernels.attention_pool(local, query)
        ctx.kernels = kernels
        ctx.save_for_backward(local, query, weights)
        ctx.set_materialize_grads(False)
        return pooled, weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        if torch.is_grad_enabled() and any(
            each is not None and each.requires_grad for each in grads
        ):
            raise RuntimeError(SECOND_DERIVATIVE)
        local, query, weights = ctx.saved_tensors
        from_pooled, from_weights = grads
        if from_pooled is None:
            if from_weights is None:
                return None, None, None
            from_pooled = local.new_zeros(local.shape[:2])
        of_local, of_query = ctx.kernels.attention_pool_backward(
            local, query, weights, from_pooled, from_weights, wants_local=ctx.needs_input_grad[0]
        )
        return of_local, _of_query(of_query, query), None


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
    if query.device != local.device:
        raise ValueError(f"query must be on {local.device} as local is, got {query.device}")
    if query.dtype != local.dtype:
        raise TypeError(f"query must be {local.dtype} as local is, got {query.dtype}")
