"""The attention pool in C++."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends import native
from .layouts import like, rows_of_channels, rows_of_positions


def takes(local: Tensor, query: Tensor) -> bool:
    """Whether C++ serves these: float32, positions or channels side by side in memory."""
    return (
        local.dtype == torch.float32
        and local.numel() > 0
        and (rows_of_positions(local) is not None or rows_of_channels(local) is not None)
    )


def attention_pool(local: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`mgnet_fast.ops.attention.attention_pool.attention_pool`.

    The bits of a map's results depend neither on the other maps, nor on the number of threads.
    """
    batch, channels, height, width = local.shape
    pooled = local.new_empty(batch, channels)
    weights = local.new_empty(batch, height, width)
    query = _unit_stride(query)
    native.extension.attention_pool(
        *_maps(local, query), pooled.data_ptr(), weights.data_ptr(), torch.get_num_threads()
    )
    return pooled, weights


def attention_pool_backward(
    local: Tensor,
    query: Tensor,
    weights: Tensor,
    from_pooled: Tensor,
    from_weights: Tensor | None,
    *,
    wants_local: bool,
) -> tuple[Tensor | None, Tensor]:
    """The gradients of the maps, in their layout, and of the query of each map, [B, C]."""
    query = _unit_stride(query)
    weights, from_pooled = weights.contiguous(), from_pooled.contiguous()
    from_weights = None if from_weights is None else from_weights.contiguous()
    of_local = like(local) if wants_local else None
    of_query = local.new_empty(local.shape[:2])
    addresses = [0 if each is None else each.data_ptr() for each in (from_weights, of_local)]
    native.extension.attention_pool_backward(
        *_maps(local, query), weights.data_ptr(), from_pooled.data_ptr(), *addresses,
        of_query.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return of_local, of_query


def _maps(local: Tensor, query: Tensor) -> tuple[int, ...]:
    batch, channels, height, width = local.shape
    between = rows_of_positions(local)
    is_last = between is None
    if between is None:
        between = rows_of_channels(local)
    if between is None:
        raise ValueError(f"local has strides {local.stride()}, which no kernel takes")
    return (
        local.data_ptr(), batch, channels, height * width, int(is_last), local.stride(0), between,
        query.data_ptr(), query.stride(0) if query.dim() == 2 else 0,
    )  # fmt: skip


def _unit_stride(query: Tensor) -> Tensor:
    return query if query.shape[-1] == 1 or query.stride(-1) == 1 else query.contiguous()
