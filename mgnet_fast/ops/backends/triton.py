"""The Triton backend: hands tensors to the kernels of ``mgnet_fast.kernels``.

Nothing is checked that would wait for the GPU: an image_index out of range gives NaN,
and so does an entry of a pool that leads out of its buffer. Triton is
imported with the first glimpse, never with the package.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from typing import Any

import torch
from torch import Tensor

from .samples import empty_samples


def why_not(device: str) -> str | None:
    """Why this backend cannot serve tensors on ``device``, or None where it can."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if device != "cuda" and not (device == "cpu" and interpreted):
        return "it serves CUDA tensors (CPU tensors in Triton's interpreter: TRITON_INTERPRET=1)"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; pip install 'mgnet-fast[triton]'"
    if importlib.util.find_spec("mgnet_fast.kernels") is None:
        return "its kernels are not installed; run pip install in the source tree"
    return None


@functools.cache
def _kernels(name: str) -> Any:
    return importlib.import_module(f"mgnet_fast.kernels.{name}")


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
    pool: Tensor | None = None,
) -> Tensor:
    samples = empty_samples(image, region.shape[0], height, width, out_dtype, channels_last)
    _kernels("glimpse").run_glimpse(
        samples, image, region, image_index, _as_table(pool, image), _as_rows(normalization),
        align_corners, padding_mode == "border",
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
    pool: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    samples = empty_samples(image, logits.shape[0], height, width, out_dtype, channels_last)
    region = torch.empty_like(logits, memory_format=torch.contiguous_format)
    _kernels("glimpse").run_glimpse(
        samples, image, logits, image_index, _as_table(pool, image), _as_rows(normalization),
        align_corners, padding_mode == "border", region_result=region,
        scale_range=(scale_min, scale_max),
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
    pool: Tensor | None = None,
) -> Tensor:
    gradient = torch.empty_like(region, memory_format=torch.contiguous_format)
    kernels = _kernels("glimpse_backward_region")
    sums = kernels.run_region_sums(
        grad, image, region, image_index, _as_table(pool, image), _as_rows(normalization),
        align_corners, padding_mode == "border",
    )  # fmt: skip
    kernels.run_region_gradient(gradient, sums)
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
    pool: Tensor | None = None,
) -> Tensor:
    gradient = torch.empty_like(logits, memory_format=torch.contiguous_format)
    sums = _kernels("glimpse_backward_region").run_region_sums(
        grad_samples, image, region, image_index, _as_table(pool, image), _as_rows(normalization),
        align_corners, padding_mode == "border",
    )  # fmt: skip
    _kernels("glimpse_backward_logits").run_logits_gradient(
        gradient, sums, grad_region, logits, (scale_min, scale_max), gradient_scale
    )
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
    _kernels("glimpse_backward_image").run_image_gradient(
        gradient, grad, region, image_index, _as_rows(normalization), align_corners,
        padding_mode == "border",
    )  # fmt: skip
    return gradient


def _as_rows(normalization: Tensor | None) -> Tensor | None:
    return None if normalization is None else normalization.contiguous()


def _as_table(pool: Tensor | None, image: Tensor) -> Tensor | None:
    """A pool's table as the kernels read it; they check its entries against the buffer's size."""
    if pool is None:
        return None
    if pool.dim() != 2 or pool.shape[1] != 6 or pool.dtype != torch.int64:
        raise ValueError(
            f"pool must be int64 of shape [B, 6], got {pool.dtype} of shape {list(pool.shape)}"
        )
    if pool.device != image.device or not image.is_contiguous():
        raise ValueError("pool must be on the device of image, its flat, contiguous buffer")
    return pool.contiguous()
