"""The public ops: what they compute, what they accept, and what they say when it is not that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .ops import glimpse as _glimpse
from .ops import glimpse_from_logits as _glimpse_from_logits
from .ops.arguments import check_fusion, check_range_map, raised_under_autocast, resolve_sampling
from .ops.backends import choice as backends
from .ops.backends import pooled_reference, reference
from .ops.fusion import fuse_glimpse as _fuse_glimpse
from .ops.fusion.fusion_weights import FoldedFusion
from .ops.images.image_pool import ImagePool
from .ops.rescale_gradient import rescale_gradient

__all__ = [
    "FoldedFusion",
    "fuse_glimpse",
    "glimpse",
    "glimpse_from_logits",
    "rescale_gradient",
]


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
    image, pool = _opened(image)
    region = raised_under_autocast(region)
    sampling, chosen = resolve_sampling(
        "region", (3, 4), image, region, size, image_index, padding_mode, mean, std, dtype,
        memory_format, backend, pool,
    )  # fmt: skip
    height, width, normalization, out_dtype, out_dtype_name, channels_last = sampling
    if chosen == "reference" or region.shape[0] == 0 or image.shape[1] == 0:
        return _reference(
            image, pool, region, image_index, normalization, height, width, align_corners,
            padding_mode, out_dtype, channels_last,
        )  # fmt: skip
    return _glimpse.glimpse(
        image, region, image_index, normalization, height, width, align_corners, padding_mode,
        out_dtype_name, channels_last, chosen, pool=pool,
    )  # fmt: skip


def glimpse_from_logits(
    image: Tensor | ImagePool,
    logits: Tensor,
    size: int | tuple[int, int],
    *,
    scale_range: tuple[float, float] = (0.2, 0.5),
    gradient_scale: float = 0.02,
    image_index: Tensor | None = None,
    align_corners: bool = True,
    padding_mode: str = "zeros",
    mean: Sequence[float] | Tensor | None = None,
    std: Sequence[float] | Tensor | None = None,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The glimpse that the localization network asks for, and its region (MGNet, section 3.3).

    With ``p = rescale_gradient(sigmoid(logits), gradient_scale)`` and
    ``(s_min, s_max) = scale_range`` (eq. 4 and 5):

    .. math:: s = p_0 (s_{max} - s_{min}) + s_{min}, \quad (x, y) = (2 (p_1, p_2) - 1)(1 - s)

    so that a region with ``s_max <= 1`` never leaves the image. Then as :func:`glimpse`, all in
    one kernel forward and one backward.

    Args:
        image (Tensor[B, C, H, W] or ImagePool): as in :func:`glimpse`.
        logits (Tensor[N, 3]): outputs of the localization layer, any floating dtype; half
            precision is raised to float32 before the sigmoid.
        size: height and width of the glimpse in pixels, or one number for both.
        scale_range: smallest and largest s.
        gradient_scale: the paper's factor s of section 3.3 (.02 for ResNet-18, .01 for the
            others); multiplies every gradient that reaches the logits.

    The other arguments are those of :func:`glimpse`.

    Returns:
        The glimpse, Tensor[N, C, h, w], and the region, Tensor[N, 3], float32 (float64 for
        float64 logits). Both are differentiable, once, in ``logits``; the glimpse in ``image``.

    Raises:
        TypeError, ValueError: as :func:`glimpse`; also a scale_range that is not two finite
            numbers with s_min <= s_max.
    """
    image, pool = _opened(image)
    if isinstance(logits, Tensor) and logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    low, high, factor = check_range_map(scale_range, gradient_scale)
    sampling, chosen = resolve_sampling(
        "logits", (3,), image, logits, size, image_index, padding_mode, mean, std, dtype,
        memory_format, backend, pool,
    )  # fmt: skip
    height, width, normalization, out_dtype, out_dtype_name, channels_last = sampling
    if chosen == "reference" or logits.shape[0] == 0 or image.shape[1] == 0:
        region = reference.region_from_logits(logits, (low, high), factor)
        samples = _reference(
            image, pool, region, image_index, normalization, height, width, align_corners,
            padding_mode, out_dtype, channels_last,
        )  # fmt: skip
        return samples, region
    return _glimpse_from_logits.glimpse_from_logits(
        image, logits, image_index, normalization, low, high, factor, height, width,
        align_corners, padding_mode, out_dtype_name, channels_last, chosen, pool=pool,
    )  # fmt: skip


def _opened(image: Tensor | ImagePool) -> tuple[Tensor, Tensor | None]:
    """The image, or a pool's buffer and table."""
    return (image.buffer, image.table) if isinstance(image, ImagePool) else (image, None)


def _reference(
    image: Tensor, pool: Tensor | None, region: Tensor, image_index: Tensor | None, *sampling: Any
) -> Tensor:
    if pool is None:
        return reference.glimpse(image, region, image_index, *sampling)
    return pooled_reference.glimpse(image, pool, region, image_index, *sampling)


def fuse_glimpse(
    tokens: Tensor, length: Tensor, folded: FoldedFusion, *, backend: str | None = None
) -> Tensor:
    r"""One-head attention of the newest glimpse over all glimpses of its slot, for inference.

    With the tokens :math:`h_1, ..., h_t` of a slot (features with their regions appended) and
    t = length (MGNet, section 3.2, eq. 3, up to LayerNorm):

    .. math::
        a = \mathrm{softmax}_j(h_j \cdot (W_k^T W_q h_t + W_k^T b_q) / \sqrt{D}), \quad
        out = W_o W_v \sum_{j \le t} a_j h_j + W_o b_v + b_o

    It equals row t of :class:`torch.nn.MultiheadAttention` over the slot's tokens, with two
    products of D x D a step instead of four; slots at different t share a call.

    Args:
        tokens (Tensor[S, T, D]): the cache of S slots, float32 or float64. Places from ``length``
            on are not read: they may hold anything.
        length (Tensor[S]): int64, the glimpses of each slot, the newest included: 1..T.
        folded (FoldedFusion): the weights, of the dtype of ``tokens``; see
            :meth:`FoldedFusion.of`.
        backend: as in :func:`glimpse`; "cpu" and "reference" are both plain PyTorch here.

    Returns:
        Tensor[S, D], of the dtype of ``tokens``, also under autocast. Where checking would wait
        for the device or cannot be traced, a row whose length is not in 1..T is NaN.

    Not differentiable.

    Raises:
        TypeError: a tensor of the wrong type or dtype.
        ValueError: a shape or device that does not fit; on the CPU a length that is not in 1..T;
            a backend that cannot run.
        RuntimeError: a gradient is wanted.
    """
    check_fusion(tokens, length, folded)
    return _fuse_glimpse.fuse_glimpse(
        tokens, length, folded, backends.choose(tokens.device.type, backend)
    )
