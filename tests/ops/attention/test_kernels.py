"""The kernels of the attention pool: near float64, and the same eager and registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.ops.attention import LAYOUTS, SHAPES, exact, problem, unit_of_slopes
from support.tolerances import OUTPUT, assert_close
from torch import Tensor

from mgnet_fast import attention_pool

pytestmark = pytest.mark.usefixtures("poisoned_memory")


def transposed(local: Tensor) -> Tensor:
    return local.transpose(2, 3).contiguous().transpose(2, 3)


def gradients(found: Any, inputs: Any, grads: tuple[Tensor | None, ...]) -> tuple[Tensor, ...]:
    kept = [at for at, grad in enumerate(grads) if grad is not None]
    given = [grads[at] for at in kept]
    return torch.autograd.grad([found[at] for at in kept], inputs, given)


@pytest.mark.parametrize("dtype", list(OUTPUT), ids=str)
@pytest.mark.parametrize("layout", [*LAYOUTS, transposed])
@pytest.mark.parametrize("shape", SHAPES)
def test_near_float64(
    backend: str, shape: tuple[int, ...], layout: Any, dtype: torch.dtype
) -> None:
    local, query, from_pooled, from_weights = (each.to(dtype) for each in problem(shape))
    kept = torch.promote_types(dtype, torch.float32)
    grads = (from_pooled, from_weights.to(kept))
    pooled, weights, of_local, of_query = exact(local, query, *grads)
    inputs = layout(local).requires_grad_(), query.requires_grad_()
    found = attention_pool(*inputs, backend=backend)
    assert (found[0].dtype, found[1].dtype) == (dtype, kept)
    # The terms of a score have squares of 9 in sum; a sum of slopes has those of the incoming.
    assert_close(found[0], pooled, OUTPUT[dtype], 9)
    assert_close(found[1], weights, OUTPUT[kept], 9)
    slopes = gradients(found, inputs, grads)
    assert [each.dtype for each in slopes] == [dtype, dtype]
    assert_close(slopes[0], of_local, OUTPUT[dtype], unit_of_slopes(from_pooled))
    assert_close(slopes[1], of_query, OUTPUT[dtype], unit_of_slopes(from_pooled))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("only", [None, 0, 1])
def test_eager_calls_and_the_registered_op_give_the_same(
    backend: str, shared: bool, only: Any
) -> None:
    local, query, *given = problem((3, 8, 5, 7))
    inputs = local.requires_grad_(), (query[0] if shared else query).clone().requires_grad_()
    grads = tuple(grad if only in (None, at) else None for at, grad in enumerate(given))
    registered = torch.ops.mgnet_fast.attention_pool(*inputs, backend)
    other = gradients(registered, inputs, grads)
    own = gradients(attention_pool(*inputs, backend=backend), inputs, grads)
    zeros = (
        torch.zeros_like(grad) if kept is None else kept
        for grad, kept in zip(given, grads, strict=True)
    )
    each_query = inputs[1].expand(3, 8)
    wanted = exact(local, each_query, *zeros)[2:]
    wanted = wanted[0], wanted[1].sum(0) if shared else wanted[1]
    for mine, theirs, reference in zip(own, other, wanted, strict=True):
        assert torch.equal(mine, theirs)
        assert_close(mine, reference, OUTPUT[torch.float32], 3 * unit_of_slopes(given[0]))


def test_what_is_not_finite_is_as_in_torch(backend: str) -> None:
    local, query, *_ = problem((4, 20, 6, 6))
    local[0, 3, 2, 2] = torch.nan
    local[1, 0, 1, 1] = torch.inf * query[1, 0].sign()
    query[2, 5] = torch.nan
    query[3] *= 1e4  # one weight is 1, the others are 0
    pooled, weights = attention_pool(local, query, backend=backend)
    wanted = attention_pool(local, query, backend="reference")
    assert_close(weights, wanted[1], OUTPUT[torch.float32], 9)
    assert_close(pooled, wanted[0], OUTPUT[torch.float32], 9)
    assert pooled[3].isfinite().all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shared", [False, True])
def test_opcheck(backend: str, layout: torch.memory_format, shared: bool) -> None:
    local, query, *grads = problem((3, 8, 5, 7))
    local = local.to(memory_format=layout).requires_grad_()
    query = (query[0] if shared else query).clone().requires_grad_()
    torch.library.opcheck(torch.ops.mgnet_fast.attention_pool, (local, query, backend))
    _, weights = attention_pool(local.detach(), query.detach(), backend=backend)
    plain = (local.detach(), query.detach(), weights, *grads, backend)
    torch.library.opcheck(torch.ops.mgnet_fast.attention_pool_backward, plain)
