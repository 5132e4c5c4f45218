"""The native CPU backend: hands tensors to the C++ kernels as addresses, sizes and strides.

The groups of numbers and their order are those of csrc/bindings.cpp. Tensors that are made here
to be passed on stay referenced until the call returns.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

# torch first: its OpenMP runtime must be the one that the extension finds loaded.
import torch
from torch import Tensor

from ..fusion.fusion_weights import StepWeights
from .samples import empty_samples

_native: Any = None
_reason = "the extension was not built; install mgnet_fast where a C++ compiler is found"
try:
    _native = importlib.import_module("mgnet_fast._native")
except ModuleNotFoundError:
    pass
except ImportError as error:  # built, but broken: worth a word at once
    _reason = f"the extension cannot be loaded: {error}"
    warnings.warn(f"mgnet_fast runs without its C++ kernels: {_reason}", stacklevel=2)

_CODES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.float16: 2,
    torch.bfloat16: 3,
    torch.uint8: 4,
}
_PADDING_CODES = {"zeros": 0, "border": 1}


def why_not(device: str) -> str | None:
    """Why this backend cannot serve tensors on ``device``, or None where it can."""
    if device != "cpu":
        return "it serves CPU tensors only"
    return _reason if _native is None else None


def describe() -> str:
    """The extension in a line: the instruction sets that run here, or what is wrong."""
    if _native is None:
        return f"NOT IN USE, glimpses run in plain PyTorch: {_reason}"
    others = [name for name in _native.available_isas() if name != _native.selected_isa()]
    openmp = "OpenMP" if _native.openmp else "one thread only, built without OpenMP"
    return f"{_native.selected_isa()} in use (also {', '.join(others) or 'none'}), {openmp}"


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
    index = _as_index(image_index)
    rows = _as_rows(normalization)
    table = _as_table(pool, image)
    _native.glimpse_forward(
        *_image(image, table), *_region(region, index), *_samples(samples), *_norm(rows),
        align_corners, _PADDING_CODES[padding_mode], torch.get_num_threads(),
    )  # fmt: skip
    return samples


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
    gradient = torch.empty(region.shape, dtype=region.dtype)
    index = _as_index(image_index)
    rows = _as_rows(normalization)
    table = _as_table(pool, image)
    _native.glimpse_backward_region(
        *_image(image, table), *_region(region, index), *_samples(grad), *_norm(rows),
        align_corners, _PADDING_CODES[padding_mode], gradient.data_ptr(), torch.get_num_threads(),
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
    index = _as_index(image_index)
    rows = _as_rows(normalization)
    _native.glimpse_backward_image(
        *_image(image, None), *_region(region, index), *_samples(grad), *_norm(rows), align_corners,
        _PADDING_CODES[padding_mode], gradient.data_ptr(), _CODES[gradient.dtype],
        *gradient.stride(), torch.get_num_threads(),
    )  # fmt: skip
    return gradient


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
    region = torch.empty(logits.shape, dtype=logits.dtype)
    index = _as_index(image_index)
    rows = _as_rows(normalization)
    table = _as_table(pool, image)
    _native.glimpse_from_logits_forward(
        *_image(image, table), *_logits(logits, scale_min, scale_max), *_region(region, index),
        *_samples(samples), *_norm(rows), align_corners, _PADDING_CODES[padding_mode],
        torch.get_num_threads(),
    )  # fmt: skip
    return samples, region


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
    gradient = torch.empty(logits.shape, dtype=logits.dtype)
    index = _as_index(image_index)
    rows = _as_rows(normalization)
    table = _as_table(pool, image)
    incoming = grad_region.to(region.dtype)
    _native.glimpse_from_logits_backward(
        *_image(image, table), *_logits(logits, scale_min, scale_max), *_region(region, index),
        *_samples(grad_samples), *_norm(rows), align_corners, _PADDING_CODES[padding_mode],
        incoming.data_ptr(), *incoming.stride(), gradient_scale, gradient.data_ptr(),
        torch.get_num_threads(),
    )  # fmt: skip
    return gradient


def takes_step(region: Tensor, tokens: Tensor, length: Tensor, weights: StepWeights) -> bool:
    """Whether :func:`fusion_step` serves these: all float32, each token's numbers side by side."""
    return (
        tokens.dtype == region.dtype == weights.folded.key_query.dtype == torch.float32
        and length.dtype == torch.int64
        and tokens.stride(2) == 1
    )


def fusion_step(
    feature: Tensor, region: Tensor, tokens: Tensor, length: Tensor, weights: StepWeights
) -> tuple[Tensor, Tensor]:
    """As :func:`mgnet_fast.ops.fusion.fusion_step.fusion_step`.

    The bits of a slot depend neither on the other slots, nor on the number of threads.
    """
    slots, places, width = tokens.shape
    feature, region, length = feature.float().contiguous(), region.contiguous(), length.contiguous()
    if feature.shape != (slots, width - 3) or region.shape != (slots, 3):
        raise ValueError(
            f"feature and region must be {[slots, width - 3]} and {[slots, 3]}, as tokens are "
            f"{[slots, places, width]}, got {list(feature.shape)} and {list(region.shape)}"
        )
    if length.shape != (slots,):
        raise ValueError(f"length must be {[slots]}, got {list(length.shape)}")
    layers = (weights.norm, weights.classify, weights.locate)
    parts = (*weights.folded, *(part for layer in layers for part in layer))
    logits = torch.empty(slots, len(weights.classify[1]))
    following = torch.empty(slots, 3)
    _native.fusion_step(
        feature.data_ptr(), region.data_ptr(), length.data_ptr(), slots, places, width,
        logits.shape[1], tokens.data_ptr(), tokens.stride(0), tokens.stride(1),
        *(part.data_ptr() for part in parts), weights.epsilon, *weights.scale_range,
        logits.data_ptr(), following.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return logits, following


def _as_index(image_index: Tensor | None) -> Tensor | None:
    return None if image_index is None else image_index.to(torch.int64).contiguous()


def _as_rows(normalization: Tensor | None) -> Tensor | None:
    return None if normalization is None else normalization.to(torch.float64).contiguous()


def _as_table(pool: Tensor | None, image: Tensor) -> Tensor | None:
    """A pool's table as the kernels read it; they check its entries against the buffer's size."""
    if pool is None:
        return None
    if pool.dim() != 2 or pool.shape[1] != 6 or pool.dtype != torch.int64:
        raise ValueError(
            f"pool must be int64 of shape [B, 6], got {pool.dtype} of shape {list(pool.shape)}"
        )
    if pool.device.type != "cpu" or not image.is_contiguous():
        raise ValueError("pool must be a CPU tensor, and image its flat, contiguous buffer")
    return pool.contiguous()


def _image(image: Tensor, table: Tensor | None) -> tuple[int, ...]:
    address, code = image.data_ptr(), _CODES[image.dtype]
    if table is None:
        return (address, code, *image.shape, *image.stride(), 0)
    shape = (table.shape[0], image.shape[1], 0, image.numel())
    return (address, code, *shape, 0, 0, 0, 0, table.data_ptr())


def _region(region: Tensor, index: Tensor | None) -> tuple[int, ...]:
    count, columns = region.shape
    address = 0 if index is None else index.data_ptr()
    return (
        region.data_ptr(), _CODES[region.dtype], columns, *region.stride(), address, count,
    )  # fmt: skip


def _logits(logits: Tensor, scale_min: float, scale_max: float) -> tuple[int | float, ...]:
    return (
        logits.data_ptr(), _CODES[logits.dtype], *logits.stride(), scale_min, scale_max,
    )  # fmt: skip


def _samples(samples: Tensor) -> tuple[int, ...]:
    return (samples.data_ptr(), _CODES[samples.dtype], *samples.shape[2:], *samples.stride())


def _norm(rows: Tensor | None) -> tuple[int, int]:
    if rows is None:
        return (0, 0)
    address = rows.data_ptr()
    return (address, address + rows.stride(0) * rows.element_size())
