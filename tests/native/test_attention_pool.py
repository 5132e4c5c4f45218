"""The attention pool in C++: near float64 in every instruction set, and a map's own bits always."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.ops.attention import LAYOUTS, SHAPES, exact, problem, unit_of_slopes
from support.tolerances import OUTPUT, assert_close

from mgnet_fast.ops.attention import native_attention
from mgnet_fast.ops.attention.attention_pool import attention_pool_reference

FLOAT32 = OUTPUT[torch.float32]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_near_float64(isa: str, layout: Any, shape: tuple[int, ...]) -> None:
    local, query, from_pooled, from_weights = problem(shape)
    pooled, weights, of_local, of_query = exact(local, query, from_pooled, from_weights)
    laid = layout(local)
    assert native_attention.takes(laid, query)
    found = native_attention.attention_pool(laid, query)
    # The terms of a score have squares of 9 in sum; a sum of slopes has those of the incoming.
    assert_close(found[0], pooled, FLOAT32, 9)
    assert_close(found[1], weights, FLOAT32, 9)
    slopes = native_attention.attention_pool_backward(
        laid, query, found[1], from_pooled, from_weights, wants_local=True
    )
    unit = unit_of_slopes(from_pooled)
    assert slopes[0] is not None
    assert_close(slopes[0], of_local, FLOAT32, unit)
    assert_close(slopes[1], of_query, FLOAT32, unit)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_maps_bits_depend_on_nothing_else(isa: str, layout: Any) -> None:
    local, query, *grads = problem((5, 40, 16, 16))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together = native_attention.attention_pool(layout(local), query)
        slopes = native_attention.attention_pool_backward(
            layout(local), query, together[1], *grads, wants_local=True
        )
    finally:
        torch.set_num_threads(before)
    for at in range(5):
        one = slice(at, at + 1)
        alone = native_attention.attention_pool(layout(local[one]), query[one])
        assert torch.equal(alone[0], together[0][one])
        assert torch.equal(alone[1], together[1][one])
        own = native_attention.attention_pool_backward(
            layout(local[one]), query[one], alone[1], *(g[one] for g in grads), wants_local=True
        )
        for mine, theirs in zip(own, slopes, strict=True):
            assert mine is not None
            assert theirs is not None
            assert torch.equal(mine, theirs[one])


def test_what_is_not_finite_is_as_in_torch(isa: str) -> None:
    local, query, *_ = problem((4, 20, 6, 6))
    local[0, 3, 2, 2] = torch.nan
    local[1, 0, 1, 1] = torch.inf * query[1, 0].sign()
    query[2, 5] = torch.nan
    query[3] *= 1e4  # one weight is 1, the others are 0
    pooled, weights = native_attention.attention_pool(local, query)
    wanted = attention_pool_reference(local, query)
    assert_close(weights, wanted[1], FLOAT32, 9)
    assert_close(pooled, wanted[0], FLOAT32, 9)
    assert pooled[3].isfinite().all()


def test_what_no_kernel_takes_is_told_beforehand() -> None:
    local, query, *_ = problem((2, 4, 6, 6))
    assert not native_attention.takes(local.double(), query.double())
    assert not native_attention.takes(local.transpose(2, 3), query)
    assert not native_attention.takes(local[..., ::2], query)
    assert not native_attention.takes(local[:, :1].expand(2, 4, 6, 6), query)
    assert not native_attention.takes(local[:0], query[:0])
    with pytest.raises(ValueError, match="which no kernel takes"):
        native_attention.attention_pool(local.transpose(2, 3), query)
