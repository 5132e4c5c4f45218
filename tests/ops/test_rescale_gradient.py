"""The gradient re-scaling of paper eq. 5."""

from __future__ import annotations

import torch

from mgnet_fast import rescale_gradient


def test_identity_forward_and_scaled_backward() -> None:
    x = torch.randn(5, requires_grad=True)
    y = rescale_gradient(x, 0.02)
    assert torch.equal(y, x)
    (y * torch.arange(5.0)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 0.02 * torch.arange(5.0))


def test_differentiates_twice() -> None:
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rescale_gradient(x, 1.0), x)
    y = rescale_gradient(x, 0.5).square().sum()
    (first,) = torch.autograd.grad(y, x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    # the factor enters once for each pass through the op
    torch.testing.assert_close(second, torch.full_like(x, 2 * 0.5 * 0.5))


def test_under_transforms_and_compile() -> None:
    x = torch.randn(4, 3)
    per_row = torch.vmap(torch.func.grad(lambda row: rescale_gradient(row, 0.1).sum()))(x)
    torch.testing.assert_close(per_row, torch.full_like(x, 0.1))
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: rescale_gradient(x * 2, 0.1), fullgraph=True)
    x.requires_grad_()
    compiled(x).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.full_like(x, 0.2))
