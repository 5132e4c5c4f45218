"""The native CUDA backend: hands tensors to the kernels of csrc/glimpse_cuda.cu.

Groups of numbers and their order are those of csrc/bindings.cpp and csrc/bindings_cuda.cpp. Kernels
are launched on torch's current stream of the image's device, and nothing waits for them: an
image_index out of range gives NaN. Tensors that are made here to be passed on may be freed when the
launch returns: torch hands their memory to later work of the same stream only.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from . import cpu
from .cpu import _CODES, _PADDING_CODES, _as_index, _as_rows, _image, _logits, _norm, _region
from .cpu import _samples as _glimpses
from .samples import empty_samples


def why_not(device: str) -> str | None:
    """Why this backend cannot serve tensors on ``device``, or None where it can."""
    if device != "cuda":
        return "it serves CUDA tensors only"
    if cpu._native is None:
        return cpu._reason
    if not getattr(cpu._native, "cuda", False):
        return "the extension was built without it; install mgnet_fast where nvcc is found"
    return _device_problem()


@functools.cache
def _device_problem() -> str | None:
    return cpu._native.cuda_problem() or None


def glimpse(
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
) -> Tensor:
    samples = empty_samples(image, region.shape[0], height, width, out_dtype, channels_last)
    index, rows = _as_index(image_index), _as_rows(normalization)
    cpu._native.cuda_glimpse_forward(
        *_image(image, None), *_region(region, index), *_glimpses(samples), *_norm(rows),
        align_corners, _PADDING_CODES[padding_mode], *_queue(image),
    )  # fmt: skip
    return samples


def glimpse_from_logits(
    image: Tensor,
    logits: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    scale_min: float,
    scale_max: float,
    height: int,
    width: int,
    align_corners: bool,
    padding_mode: str,
    out_dtype: str,
    channels_last: bool,
) -> tuple[Tensor, Tensor]:
    samples = empty_samples(image, logits.shape[0], height, width, out_dtype, channels_last)
    region = torch.empty_like(logits, memory_format=torch.contiguous_format)
    index, rows = _as_index(image_index), _as_rows(normalization)
    cpu._native.cuda_glimpse_from_logits_forward(
        *_image(image, None), *_logits(logits, scale_min, scale_max), *_region(region, index),
        *_glimpses(samples), *_norm(rows), align_corners, _PADDING_CODES[padding_mode],
        *_queue(image),
    )  # fmt: skip
    return samples, region


def glimpse_backward_region(
    grad: Tensor,
    image: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    align_corners: bool,
    padding_mode: str,
) -> Tensor:
    gradient = torch.empty_like(region, memory_format=torch.contiguous_format)
    index, rows, sums = _as_index(image_index), _as_rows(normalization), _sums(grad)
    cpu._native.cuda_glimpse_backward_region(
        *_image(image, None), *_region(region, index), *_glimpses(grad), *_norm(rows),
        align_corners, _PADDING_CODES[padding_mode], sums.data_ptr(), gradient.data_ptr(),
        *_queue(image),
    )  # fmt: skip
    return gradient


def glimpse_from_logits_backward(
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
) -> Tensor:
    gradient = torch.empty_like(logits, memory_format=torch.contiguous_format)
    index, rows, sums = _as_index(image_index), _as_rows(normalization), _sums(grad_samples)
    incoming = grad_region.to(region.dtype)
    cpu._native.cuda_glimpse_from_logits_backward(
        *_image(image, None), *_logits(logits, scale_min, scale_max), *_region(region, index),
        *_glimpses(grad_samples), *_norm(rows), align_corners, _PADDING_CODES[padding_mode],
        sums.data_ptr(), incoming.data_ptr(), *incoming.stride(), gradient_scale,
        gradient.data_ptr(), *_queue(image),
    )  # fmt: skip
    return gradient


def glimpse_backward_image(
    grad: Tensor,
    image: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    align_corners: bool,
    padding_mode: str,
) -> Tensor:
    gradient = torch.empty_like(image)
    index, rows = _as_index(image_index), _as_rows(normalization)
    first, order = (None, None) if index is None else _grouped(index, image.shape[0])
    cpu._native.cuda_glimpse_backward_image(
        *_image(image, None), *_region(region, index), *_glimpses(grad), *_norm(rows),
        align_corners, _PADDING_CODES[padding_mode], gradient.data_ptr(), _CODES[gradient.dtype],
        *gradient.stride(), 0 if first is None else first.data_ptr(),
        0 if order is None else order.data_ptr(), *_queue(image),
    )  # fmt: skip
    return gradient


def _sums(grad: Tensor) -> Tensor:
    """Where the kernel writes the four sums of each tile."""
    count, _, height, width = grad.shape
    tiles = cpu._native.cuda_tiles(height, width)
    return torch.empty((count, tiles, 4), dtype=torch.float64, device=grad.device)


def _grouped(index: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """Glimpses by image, in index order, and where those of each image begin.

    Indices of no image sort before the first beginning or behind the last.
    """
    by_image, order = torch.sort(index, stable=True)
    beginnings = torch.arange(images + 1, device=index.device)
    return torch.searchsorted(by_image, beginnings), order


def _queue(image: Tensor) -> tuple[int, int]:
    device = image.device.index
    return device, torch.cuda.current_stream(device).cuda_stream
