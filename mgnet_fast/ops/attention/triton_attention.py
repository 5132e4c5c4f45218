"""The attention pool in Triton."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch
from torch import Tensor

from .layouts import like

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@functools.cache
def _kernels() -> Any:
    return importlib.import_module("mgnet_fast.kernels.attention_pool")


def takes(local: Tensor, query: Tensor) -> bool:
    """Whether the kernels serve these. Maps whose rows do not follow each other are copied."""
    return local.dtype in _DTYPES and local.numel() > 0


def attention_pool(local: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`mgnet_fast.ops.attention.attention_pool.attention_pool`."""
    maps, queries = local.flatten(2), _queries(local, query)
    exact = torch.promote_types(local.dtype, torch.float32)
    scores = maps.new_empty(maps.shape[0], maps.shape[2], dtype=exact)
    pooled, weights = maps.new_empty(maps.shape[:2]), torch.empty_like(scores)
    _kernels().run_scores(scores, maps, queries)
    _kernels().run_pool(pooled, weights, maps, scores)
    return pooled, weights.view(local.shape[0], *local.shape[2:])


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
    maps, queries = local.flatten(2), _queries(local, query)
    weights, from_pooled = weights.contiguous().flatten(1), from_pooled.contiguous()
    incoming = torch.empty_like(weights)
    of_query = weights.new_empty(maps.shape[:2])
    of_local = like(local) if wants_local else None
    added = None if from_weights is None else from_weights.contiguous()
    _kernels().run_scores(incoming, maps, from_pooled, added)
    _kernels().run_slopes(
        None if of_local is None else of_local.flatten(2),
        of_query, maps, queries, weights, from_pooled, incoming,
    )  # fmt: skip
    return of_local, of_query


def _queries(local: Tensor, query: Tensor) -> Tensor:
    """[B, C] with channels side by side."""
    return query.contiguous().expand(local.shape[0], local.shape[1])
