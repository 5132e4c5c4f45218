"""The registered ops of the glimpse from localization logits: sigmoid, gradient rescaling,
range map and sampling in one, forward and backward.

Two ways in, as in ops/glimpse.py: registered op or one autograd.Function, same kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backends import implementations
from .backends.samples import empty_samples
from .glimpse import (
    NO_GRADIENT_OF_POOLS,
    backward_image_op,
    if_pooled,
    refuse_second_derivative,
)
from .tracing import is_plain_eager, refuse_tangents


@torch.library.custom_op("mgnet_fast::glimpse_from_logits", mutates_args=())
def glimpse_from_logits_op(
    image: Tensor,
    logits: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    scale_min: float,
    scale_max: float,
    gradient_scale: float,
    height: int,
    width: int,
    align_corners: bool,
    padding_mode: str,
    out_dtype: str,
    channels_last: bool,
    backend: str,
    pool: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """With ``pool`` (the table of an ImagePool) ``image`` is the pool's flat buffer."""
    return implementations.of(backend).glimpse_from_logits(
        image, logits, image_index, normalization, scale_min, scale_max, height, width,
        align_corners, padding_mode, out_dtype, channels_last, *if_pooled(pool),
    )  # fmt: skip


@glimpse_from_logits_op.register_fake
def _(
    image: Tensor, logits: Tensor, image_index: Tensor | None, normalization: Tensor | None,
    scale_min: float, scale_max: float, gradient_scale: float, height: int, width: int,
    align_corners: bool, padding_mode: str, out_dtype: str, channels_last: bool, backend: str,
    pool: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    samples = empty_samples(image, logits.shape[0], height, width, out_dtype, channels_last)
    return samples, torch.empty_like(logits, memory_format=torch.contiguous_format)


@torch.library.custom_op("mgnet_fast::glimpse_from_logits_backward", mutates_args=())
def backward_logits_op(
    grad_samples: Tensor,
    grad_region: Tensor,
    image: Tensor,
    logits: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    scale_min: float,
    scale_max: float,
    gradient_scale: float,
    align_corners: bool,
    padding_mode: str,
    backend: str,
    pool: Tensor | None = None,
) -> Tensor:
    return implementations.of(backend).glimpse_from_logits_backward(
        grad_samples, grad_region, image, logits, region, image_index, normalization, scale_min,
        scale_max, gradient_scale, align_corners, padding_mode, *if_pooled(pool),
    )  # fmt: skip


@backward_logits_op.register_fake
def _(
    grad_samples: Tensor, grad_region: Tensor, image: Tensor, logits: Tensor, *others: Any
) -> Tensor:
    return torch.empty_like(logits, memory_format=torch.contiguous_format)


backward_logits_op.register_autograd(refuse_second_derivative)


def _save(ctx: Any, inputs: tuple[Any, ...], region: Tensor, dispatched: bool) -> None:
    image, logits, image_index, normalization = inputs[:4]
    ctx.save_for_backward(image, logits, image_index, normalization, region, inputs[14])
    ctx.range_map = inputs[4:7]
    ctx.sampling = inputs[9:11]
    ctx.backend = inputs[13]
    ctx.dispatched = dispatched


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    _save(ctx, inputs, output[1], dispatched=True)


def _image_and_logits_gradients(
    ctx: Any, grad_samples: Tensor, grad_region: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    image, logits, image_index, normalization, region, pool = ctx.saved_tensors
    wants_image, wants_logits = ctx.needs_input_grad[:2]
    if wants_image and pool is not None:
        raise RuntimeError(NO_GRADIENT_OF_POOLS)
    to_image: Any = backward_image_op
    to_logits: Any = backward_logits_op
    backend: tuple[str, ...] = (ctx.backend,)
    if not (ctx.dispatched or torch.is_grad_enabled()):
        kernels = implementations.of(ctx.backend)
        to_image, to_logits = kernels.glimpse_backward_image, kernels.glimpse_from_logits_backward
        backend = ()
    image_gradient = logits_gradient = None
    if wants_image:
        image_gradient = to_image(
            grad_samples, image, region, image_index, normalization, *ctx.sampling, *backend
        )
    if wants_logits:
        logits_gradient = to_logits(
            grad_samples, grad_region, image, logits, region, image_index, normalization,
            *ctx.range_map, *ctx.sampling, *backend, *if_pooled(pool),
        )  # fmt: skip
    return image_gradient, logits_gradient


def _backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    return (*_image_and_logits_gradients(ctx, *grads), *[None] * (len(ctx.needs_input_grad) - 2))


glimpse_from_logits_op.register_autograd(_backward, setup_context=_setup_context)


class _EagerGlimpseFromLogits(torch.autograd.Function):
    """``options`` is all that is no tensor, in one: autograd looks at each argument."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        logits: Tensor,
        image_index: Tensor | None,
        normalization: Tensor | None,
        pool: Tensor | None,
        options: tuple[Any, ...],
    ) -> tuple[Tensor, Tensor]:
        inputs = (image, logits, image_index, normalization, *options, pool)
        samples, region = _run(inputs)
        _save(ctx, inputs, region, dispatched=False)
        return samples, region

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (*_image_and_logits_gradients(ctx, *grads), *[None] * 4)


def _run(inputs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Straight through the backend; the gradient factor is no business of the forward pass."""
    kernels = implementations.of(inputs[13])
    return kernels.glimpse_from_logits(*inputs[:6], *inputs[7:13], *if_pooled(inputs[14]))


def glimpse_from_logits(
    image: Tensor,
    logits: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    *options: Any,
    pool: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The op by its fastest way; ``options`` are those of the op from scale_min to backend."""
    tensors = (image, logits, image_index, normalization)
    if not is_plain_eager(*tensors, pool):
        refuse_tangents(image, logits)
        return glimpse_from_logits_op(*tensors, *options, pool)
    if torch.is_grad_enabled() and (image.requires_grad or logits.requires_grad):
        return _EagerGlimpseFromLogits.apply(*tensors, pool, options)
    return _run((*tensors, *options, pool))
