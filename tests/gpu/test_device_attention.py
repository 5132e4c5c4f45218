"""The attention pool on the device against float64 on the host."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.ops.attention import LAYOUTS, exact, problem, unit_of_slopes
from support.tolerances import OUTPUT, assert_close

from mgnet_fast import attention_pool

pytestmark = pytest.mark.usefixtures("poisoned_memory")


@pytest.mark.parametrize("shape", [(3, 70, 9, 11), (4, 512, 16, 16)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", list(OUTPUT), ids=str)
def test_memcheck_attention_pool(
    device: str, kernel: str, dtype: torch.dtype, layout: Any, shape: tuple[int, ...]
) -> None:
    local, query, from_pooled, from_weights = (each.to(dtype) for each in problem(shape))
    kept = torch.promote_types(dtype, torch.float32)
    grads = from_pooled, from_weights.to(kept)
    wanted = exact(local, query, *grads)
    inputs = [layout(local.to(device)).requires_grad_(), query.to(device).requires_grad_()]
    found = attention_pool(*inputs, backend=kernel)
    slopes = torch.autograd.grad(found, inputs, [each.to(device) for each in grads])
    units = (9, 9, unit_of_slopes(from_pooled), unit_of_slopes(from_pooled))
    for got, expected, unit in zip((*found, *slopes), wanted, units, strict=True):
        assert_close(got.cpu(), expected, OUTPUT[got.dtype], unit)
    again = attention_pool(*inputs, backend=kernel)
    assert torch.equal(again[0], found[0])
    assert torch.equal(again[1], found[1])
