"""The attention pool as torch sees it: gradients, opcheck, compile, export, modes, refusals."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgnet_fast import attention_pool


def problem(dtype: torch.dtype = torch.float32, *, shared: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    local = torch.randn(3, 8, 5, 7, dtype=torch.float64, generator=generator).to(dtype)
    query = torch.randn(8 if shared else (3, 8), dtype=torch.float64, generator=generator)
    return local.requires_grad_(), query.to(dtype).requires_grad_()


def gradients(found: tuple[Tensor, Tensor], inputs: Any, only: int | None = None) -> list[Tensor]:
    torch.manual_seed(1)
    seeds = [torch.randn(each.shape).to(each) for each in found]
    chosen = range(2) if only is None else [only]
    loss = sum((found[at] * seeds[at]).sum() for at in chosen)
    return list(torch.autograd.grad(loss, inputs))


def test_the_reference_has_its_own_gradients() -> None:
    for shared in (False, True):
        inputs = problem(torch.float64, shared=shared)
        assert torch.autograd.gradcheck(attention_pool, inputs)
        assert torch.autograd.gradgradcheck(attention_pool, inputs)


class Pool(nn.Module):
    def forward(self, local: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        return attention_pool(local * 2, query)


def test_compiled_and_exported_programs_hold_the_op() -> None:
    inputs = problem()
    expected = Pool()(*inputs)
    torch._dynamo.reset()
    compiled: Any = torch.compile(Pool(), fullgraph=True, backend="aot_eager")
    found = compiled(*inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    for own, other in zip(gradients(found, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)
    program = torch.export.export(Pool(), tuple(each.detach() for each in inputs))
    assert "mgnet_fast.attention_pool.default" in program.graph_module.code
    torch.testing.assert_close(program.module()(*inputs), expected, rtol=0, atol=1e-6)


def test_transforms_meta_tensors_and_autocast_get_plain_pytorch() -> None:
    local, query = (each.detach() for each in problem())
    expected = attention_pool(local, query)
    mapped = torch.vmap(lambda one, asked: attention_pool(one[None], asked[None]))(local, query)
    torch.testing.assert_close(mapped[0][:, 0], expected[0], rtol=0, atol=1e-6)
    assert attention_pool(local.to("meta"), query.to("meta"))[1].shape == (3, 5, 7)
    with torch.autocast("cpu", torch.bfloat16):
        pooled, weights = attention_pool(local.bfloat16(), query.bfloat16())
    assert (pooled.dtype, weights.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(weights.sum((1, 2)), torch.ones(3))
    assert attention_pool(local[:0], query[:0])[0].shape == (0, 8)


def test_a_second_derivative_is_refused_by_the_kernel_and_given_by_the_reference() -> None:
    inputs = problem()

    def twice(pool: Any, **options: Any) -> None:
        loss = pool(*inputs, **options)[0].square().sum()
        slope = torch.autograd.grad(loss, inputs[0], create_graph=True)[0]
        slope.square().sum().backward()

    for pool in (attention_pool, partial(torch.ops.mgnet_fast.attention_pool, backend="cpu")):
        with pytest.raises(RuntimeError, match="no second derivative; backend='reference' has"):
            twice(pool)
    twice(attention_pool, backend="reference")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"local": [1.0]}, TypeError, "local must be a Tensor, got list"),
        ({"local": torch.ones(3, 8, 5)}, ValueError, r"shape \[B, C, h, w\], got \[3, 8, 5\]"),
        ({"local": torch.ones(3, 8, 5, 0)}, ValueError, "at least one position, got"),
        (
            {"query": torch.ones(2, 8)},
            ValueError,
            r"query must have shape \[3, 8\] or \[8\] for local \[3, 8, 5, 7\], got \[2, 8\]",
        ),
        ({"query": torch.ones(3, 8).double()}, TypeError, "query must be torch.float32 as local"),
        ({"query": torch.ones(3, 8).long()}, TypeError, "query must be floating point, got"),
        ({"query": torch.ones(3, 8, device="meta")}, ValueError, "must be on cpu as local is"),
        ({"backend": "none"}, ValueError, "backend must be one of .*, got 'none'"),
    ],
)
def test_arguments_that_do_not_fit(change: Any, error: type[Exception], message: str) -> None:
    local, query = problem()
    with pytest.raises(error, match=message):
        attention_pool(**({"local": local, "query": query} | change))
