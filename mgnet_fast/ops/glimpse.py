"""The registered ops of the glimpse: forward, gradient to the region, gradient to the image.

``glimpse`` is what functional calls: through torch.library where something must see the op,
straight through one autograd.Function where nothing does. Both run the same kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .backends import implementations
from .backends.samples import empty_samples
from .tracing import is_plain_eager, refuse_tangents

NO_SECOND_DERIVATIVE = (
    "the gradient of a glimpse cannot be differentiated again; neither can that of grid_sample"
)
NO_GRADIENT_OF_POOLS = "the pixels of a pool get no gradient; give the image itself to the glimpse"


def if_pooled(pool: Tensor | None) -> tuple[Tensor, ...]:
    """The last argument of a launcher: only backends that take pools have it."""
    return () if pool is None else (pool,)


@torch.library.custom_op("mgnet_fast::glimpse", mutates_args=())
def glimpse_op(
    image: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    height: int,
    width: int,
    align_corners: bool,
    padding_mode: str,
    out_dtype: str,
    channels_last: bool,
    backend: str,
    pool: Tensor | None = None,
) -> Tensor:
    """With ``pool`` (the table of an ImagePool) ``image`` is the pool's flat buffer."""
    return implementations.of(backend).glimpse(
        image, region, image_index, normalization, height, width, align_corners, padding_mode,
        out_dtype, channels_last, *if_pooled(pool),
    )  # fmt: skip


@glimpse_op.register_fake
def _(
    image: Tensor, region: Tensor, image_index: Tensor | None, normalization: Tensor | None,
    height: int, width: int, align_corners: bool, padding_mode: str, out_dtype: str,
    channels_last: bool, backend: str, pool: Tensor | None = None,
) -> Tensor:  # fmt: skip
    return empty_samples(image, region.shape[0], height, width, out_dtype, channels_last)


@torch.library.custom_op("mgnet_fast::glimpse_backward_region", mutates_args=())
def backward_region_op(
    grad: Tensor,
    image: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    align_corners: bool,
    padding_mode: str,
    backend: str,
    pool: Tensor | None = None,
) -> Tensor:
    return implementations.of(backend).glimpse_backward_region(
        grad, image, region, image_index, normalization, align_corners, padding_mode,
        *if_pooled(pool),
    )  # fmt: skip


@backward_region_op.register_fake
def _(grad: Tensor, image: Tensor, region: Tensor, *others: Any) -> Tensor:
    return torch.empty_like(region, memory_format=torch.contiguous_format)


@torch.library.custom_op("mgnet_fast::glimpse_backward_image", mutates_args=())
def backward_image_op(
    grad: Tensor,
    image: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    align_corners: bool,
    padding_mode: str,
    backend: str,
) -> Tensor:
    """``image`` gives shape, dtype and layout; its pixels are not read."""
    return implementations.of(backend).glimpse_backward_image(
        grad, image, region, image_index, normalization, align_corners, padding_mode
    )


@backward_image_op.register_fake
def _(grad: Tensor, image: Tensor, *others: Any) -> Tensor:
    return torch.empty_like(image)


def refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(NO_SECOND_DERIVATIVE)


backward_region_op.register_autograd(refuse_second_derivative)
backward_image_op.register_autograd(refuse_second_derivative)


def _image_and_region_gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    image, region, image_index, normalization, pool = ctx.saved_tensors
    wants_image, wants_region = ctx.needs_input_grad[:2]
    if wants_image and pool is not None:
        raise RuntimeError(NO_GRADIENT_OF_POOLS)
    arguments = (grad, image, region, image_index, normalization, *ctx.sampling)
    # Under create_graph the ops must be seen, so that a second derivative is refused in words.
    if ctx.dispatched or torch.is_grad_enabled():
        to_image, to_region = backward_image_op, backward_region_op
        arguments = (*arguments, ctx.backend)
    else:
        kernels = implementations.of(ctx.backend)
        to_image, to_region = kernels.glimpse_backward_image, kernels.glimpse_backward_region
    return (
        to_image(*arguments) if wants_image else None,
        to_region(*arguments, *if_pooled(pool)) if wants_region else None,
    )


def _save(ctx: Any, inputs: tuple[Any, ...], dispatched: bool) -> None:
    ctx.save_for_backward(*inputs[:4], inputs[11])
    ctx.sampling = inputs[6:8]
    ctx.backend = inputs[10]
    ctx.dispatched = dispatched


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _save(ctx, inputs, dispatched=True)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*_image_and_region_gradients(ctx, grad), *[None] * (len(ctx.needs_input_grad) - 2))


glimpse_op.register_autograd(_backward, setup_context=_setup_context)


class _EagerGlimpse(torch.autograd.Function):
    """``options`` is all that is no tensor, in one: autograd looks at each argument."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        region: Tensor,
        image_index: Tensor | None,
        normalization: Tensor | None,
        pool: Tensor | None,
        options: tuple[Any, ...],
    ) -> Tensor:
        tensors = (image, region, image_index, normalization)
        _save(ctx, (*tensors, *options, pool), dispatched=False)
        return implementations.of(options[-1]).glimpse(*tensors, *options[:-1], *if_pooled(pool))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (*_image_and_region_gradients(ctx, grads[0]), *[None] * 4)


def glimpse(
    image: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    *options: Any,
    pool: Tensor | None = None,
) -> Tensor:
    """The op by its fastest way; ``options`` are those of ``glimpse_op`` from height to backend."""
    if not is_plain_eager(image, region, image_index, normalization, pool):
        refuse_tangents(image, region)
        return glimpse_op(image, region, image_index, normalization, *options, pool)
    if torch.is_grad_enabled() and (image.requires_grad or region.requires_grad):
        return _EagerGlimpse.apply(image, region, image_index, normalization, pool, options)
    return implementations.of(options[-1]).glimpse(
        image, region, image_index, normalization, *options[:-1], *if_pooled(pool)
    )
