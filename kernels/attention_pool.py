"""Attention over the positions of a map: score, softmax and weighted sum, forward and backward.

Two launches in either direction. The first computes one number for each position, the second sums
over the positions, a few channels of a map in each program. So every sum has a fixed order, and no
buffer is larger than the scores. The second launch reads the map again; maps of up to the size of
the cache then come from there.

Maps are [B, C, P] of any strides, P = h w. Everything else is contiguous.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from . import launching
from .tiles import real_type

SIDE = 32  # of a tile, channels and positions; twice as long in one direction, some kernels spill
WARPS = 4


@triton.jit(do_not_specialize=["tiles"])
def score_kernel(
    local, query, added, scores,
    positions, tiles,
    stride_b, stride_c, stride_i, query_stride_b,
    CHANNELS: tl.constexpr, REAL: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """scores[b, i] = <query[b], local[b, :, i]> + added[b, i]."""
    b = (tl.program_id(0) // tiles).to(tl.int64)
    i = ((tl.program_id(0) % tiles) * BLOCK_I + tl.arange(0, BLOCK_I)).to(tl.int64)
    inside = i < positions
    sums = tl.zeros([BLOCK_C, BLOCK_I], REAL)
    for first in range(0, CHANNELS, BLOCK_C):
        c = (first + tl.arange(0, BLOCK_C)).to(tl.int64)
        known = c < CHANNELS
        at = local + b * stride_b + c[:, None] * stride_c + i[None, :] * stride_i
        part = tl.load(at, mask=known[:, None] & inside[None, :], other=0).to(REAL)
        asked = tl.load(query + b * query_stride_b + c, mask=known, other=0).to(REAL)
        sums += part * asked[:, None]
    total = tl.sum(sums, axis=0)
    if added is not None:
        total += tl.load(added + b * positions + i, mask=inside, other=0).to(REAL)
    tl.store(scores + b * positions + i, total, mask=inside)


@triton.jit(do_not_specialize=["groups"])
def pool_kernel(
    local, scores, pooled, weights,
    positions, groups,
    stride_b, stride_c, stride_i,
    CHANNELS: tl.constexpr, REAL: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """The softmax of the scores, and the sum over the positions of the map weighted by it."""
    b = (tl.program_id(0) // groups).to(tl.int64)
    group = tl.program_id(0) % groups
    c = (group * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    known = c < CHANNELS
    of_map = scores + b * positions
    largest = tl.full([BLOCK_I], float("-inf"), REAL)
    for first in range(0, positions, BLOCK_I):
        i = first + tl.arange(0, BLOCK_I)
        score = tl.load(of_map + i, mask=i < positions, other=float("-inf"))
        largest = tl.maximum(largest, score)
    # A maximum may drop NaN; the subtraction restores it.
    peak = tl.max(largest, axis=0)
    total = tl.zeros([BLOCK_I], REAL)
    sums = tl.zeros([BLOCK_C, BLOCK_I], REAL)
    for first in range(0, positions, BLOCK_I):
        i = (first + tl.arange(0, BLOCK_I)).to(tl.int64)
        inside = i < positions
        score = tl.load(of_map + i, mask=inside, other=0)
        share = tl.where(inside, tl.exp(score - peak), 0.0)
        total += share
        at = local + b * stride_b + c[:, None] * stride_c + i[None, :] * stride_i
        part = tl.load(at, mask=known[:, None] & inside[None, :], other=0).to(REAL)
        sums += part * share[None, :]
    whole = tl.sum(total, axis=0)
    mean = tl.sum(sums, axis=1) / whole
    tl.store(pooled + b * CHANNELS + c, mean.to(pooled.dtype.element_ty), mask=known)
    if group == 0:
        for first in range(0, positions, BLOCK_I):
            i = first + tl.arange(0, BLOCK_I)
            score = tl.load(of_map + i, mask=i < positions, other=0)
            tl.store(weights + b * positions + i, tl.exp(score - peak) / whole, mask=i < positions)


@triton.jit(do_not_specialize=["groups"])
def slope_kernel(
    local, query, weights, from_pooled, incoming, of_local, of_query,
    positions, groups,
    stride_b, stride_c, stride_i, query_stride_b, to_stride_b, to_stride_c, to_stride_i,
    CHANNELS: tl.constexpr, REAL: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_I: tl.constexpr,
):  # fmt: skip
    """With a the weights, q the query, d the gradient of the pooled vector and e the incoming
    gradient of a position's share, <d, l_i> + the gradient of a_i:

    s_i = a_i (e_i - sum of a e), gradient of l_i = a_i d + s_i q, gradient of q = sum of s_i l_i.
    """
    b = (tl.program_id(0) // groups).to(tl.int64)
    c = ((tl.program_id(0) % groups) * BLOCK_C + tl.arange(0, BLOCK_C)).to(tl.int64)
    known = c < CHANNELS
    products = tl.zeros([BLOCK_I], REAL)
    for first in range(0, positions, BLOCK_I):
        i = b * positions + first + tl.arange(0, BLOCK_I)
        inside = i < (b + 1) * positions
        products += tl.load(weights + i, mask=inside, other=0) * tl.load(
            incoming + i, mask=inside, other=0
        )
    mean = tl.sum(products, axis=0)
    if of_local is not None:
        d = tl.load(from_pooled + b * CHANNELS + c, mask=known, other=0).to(REAL)
        q = tl.load(query + b * query_stride_b + c, mask=known, other=0).to(REAL)
    sums = tl.zeros([BLOCK_C, BLOCK_I], REAL)
    for first in range(0, positions, BLOCK_I):
        i = (first + tl.arange(0, BLOCK_I)).to(tl.int64)
        inside = i < positions
        a = tl.load(weights + b * positions + i, mask=inside, other=0)
        slope = a * (tl.load(incoming + b * positions + i, mask=inside, other=0) - mean)
        wanted = known[:, None] & inside[None, :]
        at = local + b * stride_b + c[:, None] * stride_c + i[None, :] * stride_i
        sums += tl.load(at, mask=wanted, other=0).to(REAL) * slope[None, :]
        if of_local is not None:
            to = of_local + b * to_stride_b + c[:, None] * to_stride_c + i[None, :] * to_stride_i
            gradient = a[None, :] * d[:, None] + slope[None, :] * q[:, None]
            tl.store(to, gradient.to(of_local.dtype.element_ty), mask=wanted)
    tl.store(of_query + b * CHANNELS + c, tl.sum(sums, axis=1), mask=known)


def run_scores(scores: Tensor, maps: Tensor, query: Tensor, added: Tensor | None = None) -> None:
    """Write ``scores`` [B, P] of ``maps`` [B, C, P] by ``query``, [B, C] or expanded from [C]."""
    batch, _, positions = maps.shape
    tiles = triton.cdiv(positions, SIDE)
    arguments: tuple[Any, ...] = (
        maps, query, added, scores, positions, tiles, *maps.stride(), query.stride(0),
    )  # fmt: skip
    _launch(score_kernel, batch * tiles, maps, arguments)


def run_pool(pooled: Tensor, weights: Tensor, maps: Tensor, scores: Tensor) -> None:
    """Write ``pooled`` [B, C] and ``weights`` [B, P]."""
    batch, channels, positions = maps.shape
    groups = triton.cdiv(channels, SIDE)
    arguments = (maps, scores, pooled, weights, positions, groups, *maps.stride())
    _launch(pool_kernel, batch * groups, maps, arguments)


def run_slopes(
    of_maps: Tensor | None,
    of_query: Tensor,
    maps: Tensor,
    query: Tensor,
    weights: Tensor,
    from_pooled: Tensor,
    incoming: Tensor,
) -> None:
    """Write the gradients, of the maps [B, C, P] unless that is None, and of the queries [B, C].

    ``incoming`` [B, P] is the gradient of each position's share, by :func:`run_scores`.
    """
    batch, channels, positions = maps.shape
    groups = triton.cdiv(channels, SIDE)
    to = (0, 0, 0) if of_maps is None else of_maps.stride()
    arguments: tuple[Any, ...] = (
        maps, query, weights, from_pooled, incoming, of_maps, of_query,
        positions, groups, *maps.stride(), query.stride(0), *to,
    )  # fmt: skip
    _launch(slope_kernel, batch * groups, maps, arguments)


def _launch(kernel: Any, programs: int, maps: Tensor, arguments: tuple[Any, ...]) -> None:
    constants = {
        "CHANNELS": maps.shape[1],
        "REAL": real_type(maps),
        "BLOCK_C": SIDE,
        "BLOCK_I": SIDE,
    }
    launching.launch(kernel, programs, maps.device, arguments, constants, WARPS)
