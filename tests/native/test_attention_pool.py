"""The attention pool in C++: near float64 in every instruction set, and a map's own bits always."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tolerances import OUTPUT, assert_close
from torch import Tensor

from mgnet_fast.ops.attention import native_attention
from mgnet_fast.ops.attention.attention_pool import attention_pool_reference

FLOAT32 = OUTPUT[torch.float32]


def contiguous(local: Tensor) -> Tensor:
    return local


def channels_last(local: Tensor) -> Tensor:
    return local.to(memory_format=torch.channels_last)


def cut_from_more_channels(local: Tensor) -> Tensor:
    more = local.new_full((len(local) + 1, local.shape[1] + 3, *local.shape[2:]), torch.nan)
    more[1:, 2:-1] = local
    return more[1:, 2:-1]


def cut_from_more_channels_last(local: Tensor) -> Tensor:
    more = local.new_full((len(local), *local.shape[2:], local.shape[1] + 3), torch.nan)
    more[..., 2:-1] = local.permute(0, 2, 3, 1)
    return more[..., 2:-1].permute(0, 3, 1, 2)


LAYOUTS = [contiguous, channels_last, cut_from_more_channels, cut_from_more_channels_last]
# Positions and channels around the lanes of every set, and around the widest tile of sums.
SHAPES = [(1, 1, 1, 1), (2, 3, 1, 7), (3, 16, 7, 1), (2, 37, 5, 5), (1, 300, 17, 19)]


def problem(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    batch, channels, height, width = shape
    local = torch.randn(shape, generator=generator)
    query = 3 * torch.randn(batch, channels, generator=generator) / channels**0.5
    from_pooled = torch.randn(batch, channels, generator=generator)
    from_weights = torch.randn(batch, height, width, generator=generator)
    return local, query, from_pooled, from_weights


def exact(local: Tensor, query: Tensor, *grads: Tensor) -> tuple[Tensor, ...]:
    """Results and gradients in float64."""
    inputs = [each.double().requires_grad_() for each in (local, query)]
    found = attention_pool_reference(*inputs)
    return *found, *torch.autograd.grad(found, inputs, [each.double() for each in grads])


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
    unit = 9 * float(from_pooled.norm(dim=1).max()) + 9
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
