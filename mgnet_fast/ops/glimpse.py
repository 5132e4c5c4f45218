"""The glimpse: crop and resize in one differentiable op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .arguments import raised_under_autocast
from .backends import reference
from .backends.choice import LAUNCHERS
from .gradients import Saved, image_gradient, region_gradient
from .images.image_pool import ImagePool
from .resolve import resolved
from .sampling import GLIMPSE, Sampling
from .tracing import refuse_tangents


def glimpse(
    image: Tensor | ImagePool,
    region: Tensor,
    size: int | tuple[int, int],
    *,
    image_index: Tensor | None = None,
    align_corners: bool = True,
    padding_mode: str = "zeros",
    mean: Sequence[float] | Tensor | None = None,
    std: Sequence[float] | Tensor | None = None,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format | None = None,
    backend: str | None = None,
    antialias: bool = False,
    clamp_to_region: bool = False,
) -> Tensor:
    r"""Bilinear samples of an axis-parallel region of each image: crop and resize in one.

    For output row r and column c, with :math:`(g_y, g_x)` running evenly over [-1, 1]
    (MGNet, section 3.1, eq. 1 and 2; Jaderberg et al. 2015):

    .. math:: out[n, :, r, c] = bilinear(image[i_n], \; y_n + s_y g_y(r), \; x_n + s_x g_x(c))

    It equals ``grid_sample(image, affine_grid(theta, ...))`` with
    ``theta = [[s_x, 0, x], [0, s_y, y]]``, computed in one pass that reads only the pixels it
    needs, with coordinates in double precision.

    Args:
        image (Tensor[B, C, H, W]): float32, float64, float16, bfloat16 or uint8, of any strides,
            on any device. uint8 is divided by 255. Or an :class:`ImagePool` of B images of
            different sizes.
        region (Tensor[N, 3] or Tensor[N, 4]): rows ``(s, x, y)`` or ``(s_x, s_y, x, y)``: half
            the extent and the centre, in units where the image spans [-1, 1]; x goes with the
            width. float32 or float64, never lowered by autocast.
        size: height and width of the glimpse in pixels, or one number for both.
        image_index (Tensor[N]): int64 or int32, the image of each region. Default: N = B, one
            each.
        align_corners: whether -1 and 1 are the centres of the corner pixels (True, as in the
            published code) or the image's edges, as in ``grid_sample``.
        padding_mode: "zeros" (after normalising) or "border".
        mean, std: per channel, in units of [0, 1]: ``(value - mean) / std``. Constants: no
            gradient flows to them.
        dtype: of the result; default: the image's, float32 for uint8.
        memory_format: ``torch.contiguous_format`` or ``torch.channels_last``; default: the
            image's, contiguous for a pool.
        backend: "cpu", "triton" or "cuda" (CUDA tensors), "reference"; default: the first in order
            that can run (``mgnet_fast.backends()``), "reference" under torch.func's transforms.
            "reference" is plain PyTorch.
        antialias: whether samples more than a pixel apart are averages instead of bilinear ones,
            as in ``interpolate(antialias=True)``; see below.
        clamp_to_region: whether samples stay half a pixel inside the region's edges, as if the
            region were cut out and then resized; see below. Not with ``antialias``; changes
            nothing with ``align_corners``, whose samples never leave the region.

    With ``antialias``, samples are :math:`\Delta = |s| S / n` pixels apart along an axis of S
    pixels and n samples (:math:`|s| (S - 1) / (n - 1)` with ``align_corners``). A glimpse with
    :math:`\Delta > 1` along either axis is filtered: with p the sample's place in pixels and
    :math:`r = \max(1, \Delta)`, along each axis

    .. math:: sample = c \sum_k w_k pixel_k / \sum_k w_k, \quad w_k = \max(0, 1 - |k - p| / r)

    over the pixels k of the image. "border" moves p into the image, and c = 1. With "zeros", c is
    1 for p inside the image and falls to 0 within a pixel outside: what is outside does not darken
    the samples inside. Other glimpses keep their bits. ``region = (1, 0, 0)`` with
    ``align_corners=False`` equals ``interpolate(mode="bilinear", antialias=True)``.

    With ``clamp_to_region`` and ``align_corners=False``, along an axis of S pixels of which pixel k
    covers k to k + 1, a sample at u lies at

    .. math:: \min(\max(u, \; l + 1/2), \; r - 1/2), \quad l, r = (x \mp |s| + 1) \, S / 2

    and at the centre of the region if :math:`r - l < 1`. So a region whose edges lie between pixels
    equals ``interpolate(crop, size, mode="bilinear")`` of the crop that it shows, beyond the image
    padded as ``padding_mode`` says. The derivative of a sample at an edge is that of the edge.

    Returns:
        Tensor[N, C, h, w]. All NaN for a region that is not finite; an empty batch gives an
        empty result.

    Differentiable once, in ``region`` and (float images, not pools) in ``image``,
    bit-reproducible for any number of threads. Where a sample meets a pixel exactly, the
    derivative is the one towards higher coordinates. A region that is not finite gets a NaN
    gradient and gives its image none.

    Raises:
        TypeError: a tensor of the wrong type or dtype.
        ValueError: a shape, size, mode, device or index that does not fit, or a backend that
            cannot run, with its reason.
    """
    region = raised_under_autocast(region)
    given = (
        size, align_corners, padding_mode, mean, std, dtype, memory_format, backend, antialias,
        clamp_to_region,
    )  # fmt: skip
    sampling = resolved(image, "region", (3, 4), region, image_index, given)
    if sampling.options.backend == "reference":
        return reference.glimpse(sampling, region)
    if sampling.plans is None:
        refuse_tangents(sampling.image, region)
        return glimpse_op(*GLIMPSE.flat(sampling, region=region))
    if torch.is_grad_enabled() and (sampling.image.requires_grad or region.requires_grad):
        return _EagerGlimpse.apply(sampling.image, region, sampling)
    return LAUNCHERS[sampling.options.backend].glimpse(sampling, region)


def _forward(*values: Any) -> Tensor:
    sampling, others = GLIMPSE.record(values)
    return LAUNCHERS[sampling.options.backend].glimpse(sampling, others["region"])


glimpse_op = torch.library.custom_op(
    "mgnet_fast::glimpse", _forward, mutates_args=(), schema=GLIMPSE.text
)


@glimpse_op.register_fake
def _(*values: Any) -> Tensor:
    sampling, others = GLIMPSE.record(values)
    return sampling.new_samples(others["region"].shape[0])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    sampling, others = GLIMPSE.record(inputs)
    ctx.saved = Saved(ctx, sampling, others["region"])


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    sampling, region = ctx.saved.restored(ctx)
    wants_image, wants_region = ctx.needs_input_grad[:2]
    return (
        image_gradient(sampling, region, grad) if wants_image else None,
        region_gradient(sampling, region, grad) if wants_region else None,
    )


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return (*_gradients(ctx, grad), *[None] * (len(ctx.needs_input_grad) - 2))


glimpse_op.register_autograd(_backward, setup_context=_setup_context)


class _EagerGlimpse(torch.autograd.Function):
    """The op without the dispatcher; image and region are those of the gradients."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, region: Tensor, sampling: Sampling) -> Tensor:
        ctx.saved = Saved(ctx, sampling, region)
        return LAUNCHERS[sampling.options.backend].glimpse(sampling, region)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return (*_gradients(ctx, grads[0]), None)
