"""The fusion step at inference, except for its matrix products: append the newest token to the
cache, attend over the cached tokens, and compute what follows.

One program handles one slot. Each kernel moves a few kilobytes per slot, so launches dominate the
cost; the step has as few as the matrix products between them allow.
"""

from __future__ import annotations

import math
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from . import launching
from .tiles import next_power_of_2, real_type

VALUES = 2048  # values of the cache that a program holds at a time
WARPS = 4


@triton.jit(do_not_specialize=["places", "features"])
def append_kernel(
    feature, region, tokens, length, newest,
    places, features,
    feature_stride_s, feature_stride_d, region_stride_s, region_stride_k,
    tokens_stride_s, tokens_stride_t, tokens_stride_d,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write feature and region as the newest token to the cache, and again to [S, WIDTH] for the
    matrix product. Without a feature, only copy the newest token from the cache. The copy is NaN if
    the length is not in 1..places, and the cache is then neither read nor written."""
    s = tl.program_id(0).to(tl.int64)
    count = tl.load(length + s)
    usable = (count >= 1) & (count <= places)
    d = tl.arange(0, BLOCK)
    at = tokens + (s * tokens_stride_s + (count - 1) * tokens_stride_t + d * tokens_stride_d)
    if feature is None:
        token = tl.load(at, mask=usable & (d < WIDTH), other=0)
    else:
        dtype: tl.constexpr = tokens.dtype.element_ty
        of_feature = feature + (s * feature_stride_s + d * feature_stride_d)
        of_region = region + (s * region_stride_s + (d - features) * region_stride_k)
        is_region = (d >= features) & (d < WIDTH)
        token = tl.load(of_feature, mask=d < features, other=0).to(dtype)
        place = tl.load(of_region, mask=is_region, other=0).to(dtype)
        token = tl.where(is_region, place, token)
        tl.store(at, token, mask=usable & (d < WIDTH))
    token = tl.where(usable, token, float("nan"))
    tl.store(newest + s * WIDTH + d, token, mask=d < WIDTH)


@triton.jit(do_not_specialize=["places"])
def attend_kernel(
    tokens, query, length, mixed,
    places,
    tokens_stride_s, tokens_stride_t, tokens_stride_d,
    factor: tl.float64,
    WIDTH: tl.constexpr, REAL: tl.constexpr, PLACES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The mean of a slot's tokens [S, WIDTH], weighted by the softmax of their products with the
    query [S, WIDTH]. Places from the length on are not read."""
    s = tl.program_id(0).to(tl.int64)
    count = tl.load(length + s)
    usable = (count >= 1) & (count <= places)
    j = tl.arange(0, PLACES)
    used = (j < count) & usable
    cache = tokens + s * tokens_stride_s + j[:, None] * tokens_stride_t
    scores = tl.zeros([PLACES], REAL)
    for first in range(0, WIDTH, BLOCK):
        d = first + tl.arange(0, BLOCK)
        wanted = used[:, None] & (d < WIDTH)[None, :]
        part = tl.load(cache + d[None, :] * tokens_stride_d, mask=wanted, other=0).to(REAL)
        asked = tl.load(query + s * WIDTH + d, mask=d < WIDTH, other=0).to(REAL)
        scores += tl.sum(part * asked[None, :], axis=1)
    scores = (scores.to(tl.float64) * factor).to(REAL)
    scores = tl.where(used, scores, float("-inf"))
    # A maximum may drop NaN; the subtraction restores it.
    weights = tl.exp(scores - tl.max(scores, axis=0))
    weights = tl.where(used, weights, 0.0)
    weights = weights / tl.sum(weights, axis=0)
    for first in range(0, WIDTH, BLOCK):
        d = first + tl.arange(0, BLOCK)
        wanted = used[:, None] & (d < WIDTH)[None, :]
        part = tl.load(cache + d[None, :] * tokens_stride_d, mask=wanted, other=0).to(REAL)
        mean = tl.sum(part * weights[:, None], axis=0)
        mean = tl.where(usable, mean, float("nan"))
        tl.store(mixed + s * WIDTH + d, mean.to(mixed.dtype.element_ty), mask=d < WIDTH)


@triton.jit
def state_kernel(
    fused, norm_weight, norm_bias, locate_weight, locate_bias, state, region,
    epsilon: tl.float64, scale_min: tl.float64, scale_max: tl.float64,
    WIDTH: tl.constexpr, REAL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """LayerNorm and ReLU of the fused token, then localization layer, sigmoid and range map: the
    state [S, WIDTH] and the next region [S, 3]. All tensors are contiguous."""
    s = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, BLOCK)
    inside = d < WIDTH
    x = tl.load(fused + s * WIDTH + d, mask=inside, other=0).to(REAL)
    centred = tl.where(inside, x - tl.sum(x, axis=0) / WIDTH, 0.0)
    variance = tl.sum(centred * centred, axis=0) / WIDTH
    scaled = centred / tl.sqrt(variance.to(tl.float64) + epsilon).to(REAL)
    weight = tl.load(norm_weight + d, mask=inside, other=0).to(REAL)
    bias = tl.load(norm_bias + d, mask=inside, other=0).to(REAL)
    value = scaled * weight + bias
    value = tl.where(value < 0, 0.0, value)  # NaN stays NaN
    tl.store(state + s * WIDTH + d, value.to(state.dtype.element_ty), mask=inside)

    p0 = probability_of(locate_weight, locate_bias, value, 0, d, WIDTH, REAL)
    p1 = probability_of(locate_weight, locate_bias, value, 1, d, WIDTH, REAL)
    p2 = probability_of(locate_weight, locate_bias, value, 2, d, WIDTH, REAL)
    scale = p0 * (scale_max - scale_min) + scale_min
    dtype: tl.constexpr = region.dtype.element_ty
    tl.store(region + 3 * s, scale.to(dtype))
    tl.store(region + 3 * s + 1, ((2.0 * p1 - 1.0) * (1.0 - scale)).to(dtype))
    tl.store(region + 3 * s + 2, ((2.0 * p2 - 1.0) * (1.0 - scale)).to(dtype))


@triton.jit
def probability_of(
    weight, bias, value, k: tl.constexpr, d, WIDTH: tl.constexpr, REAL: tl.constexpr
):
    row = tl.load(weight + k * WIDTH + d, mask=d < WIDTH, other=0).to(REAL)
    logit = tl.sum(row * value, axis=0).to(tl.float64) + tl.load(bias + k).to(tl.float64)
    return 1.0 / (1.0 + tl.exp(-logit))


def run_append(
    newest: Tensor,
    tokens: Tensor,
    length: Tensor,
    feature: Tensor | None = None,
    region: Tensor | None = None,
) -> None:
    """Copy each slot's newest token to ``newest`` [S, D]. With a feature [S, D - 3] and a region
    [S, 3], make the token from these and put it into the cache first."""
    slots, places, width = tokens.shape
    strides: tuple[int, ...] = (0, 0, 0, 0)
    if feature is not None and region is not None:
        strides = (*feature.stride(), *region.stride())
    arguments: tuple[Any, ...] = (
        feature, region, tokens, length, newest, places, width - 3, *strides, *tokens.stride(),
    )  # fmt: skip
    constants = {"WIDTH": width, "BLOCK": next_power_of_2(width)}
    launching.launch(append_kernel, slots, tokens.device, arguments, constants, WARPS)


def run_attention(mixed: Tensor, tokens: Tensor, query: Tensor, length: Tensor) -> None:
    """Write the attended tokens ``mixed`` [S, D]; ``query`` [S, D] is contiguous."""
    slots, places, width = tokens.shape
    block_of_places = next_power_of_2(places)
    arguments = (tokens, query, length, mixed, places, *tokens.stride(), 1 / math.sqrt(width))
    constants = {
        "WIDTH": width,
        "REAL": real_type(tokens),
        "PLACES": block_of_places,
        "BLOCK": min(next_power_of_2(width), max(VALUES // block_of_places, 32)),
    }
    launching.launch(attend_kernel, slots, tokens.device, arguments, constants, WARPS)


def run_state(
    state: Tensor,
    region: Tensor,
    fused: Tensor,
    norm: tuple[Tensor, Tensor],
    locate: tuple[Tensor, Tensor],
    epsilon: float,
    scale_range: tuple[float, float],
) -> None:
    """Write the state [S, D] and the next region [S, 3]."""
    slots, width = fused.shape
    arguments = (fused, *norm, *locate, state, region, epsilon, *scale_range)
    constants = {"WIDTH": width, "REAL": real_type(fused), "BLOCK": next_power_of_2(width)}
    launching.launch(state_kernel, slots, fused.device, arguments, constants, WARPS)
