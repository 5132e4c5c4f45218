"""The gradient re-scaling of paper eq. 5: identity forward, gradient times a factor backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _RescaleGradient(torch.autograd.Function):
    """An autograd.Function and not a registered op: an op may not return its own input, so it
    would copy; this traces, compiles, exports and differentiates twice as it is."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, factor: float) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None


def rescale_gradient(x: Tensor, factor: float) -> Tensor:
    """``x`` itself, with the gradient that flows back through it multiplied by ``factor``."""
    return _RescaleGradient.apply(x, factor)


class _RescaleGradientBy(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, factor: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (factor,) = ctx.saved_tensors
        return grads[0] * factor, None


def rescale_gradient_by(x: Tensor, factor: Tensor) -> Tensor:
    """`rescale_gradient` with a 0-d tensor, whose value may change from call to call without a
    program being traced again. The factor gets no gradient."""
    return _RescaleGradientBy.apply(x, factor)
