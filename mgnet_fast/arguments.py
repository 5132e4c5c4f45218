"""What the arguments of the public ops must be, and what is made of them.

Every error names the argument, what is wanted and what was got.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .ops import backends
from .ops.dispatch import is_plain_eager, under_functorch

_IMAGE_DTYPES = (torch.float32, torch.uint8, torch.bfloat16, torch.float16, torch.float64)
_OUTPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_REGION_DTYPES = (torch.float32, torch.float64)
_PADDING_MODES = ("zeros", "border")

# (mean, std, unit, channels, device) -> rows (scale, bias): the same few constants come at every
# call, and making a tensor of them costs as much as a small glimpse.
_known_normalizations: dict[Any, Tensor] = {}


class Sampling(NamedTuple):
    """What both ops share, checked and resolved."""

    height: int
    width: int
    normalization: Tensor | None
    out_dtype: torch.dtype
    channels_last: bool
    backend: str


def resolve_sampling(
    image: Tensor,
    rows: Tensor,
    size: int | tuple[int, int],
    image_index: Tensor | None,
    padding_mode: str,
    mean: Sequence[float] | Tensor | None,
    std: Sequence[float] | Tensor | None,
    dtype: torch.dtype | None,
    memory_format: torch.memory_format | None,
    backend: str | None,
) -> Sampling:
    """Checks what is common to both ops; ``rows`` are the regions or the logits."""
    height, width = _height_and_width(size)
    _check_image_index(image_index, rows, image)
    if padding_mode not in _PADDING_MODES:
        raise ValueError(
            f"padding_mode must be one of {', '.join(_PADDING_MODES)}, got {padding_mode!r}"
        )
    return Sampling(
        height,
        width,
        _normalization(image, mean, std),
        _output_dtype(image, dtype),
        _is_channels_last(image, memory_format),
        _choose_backend(image, backend),
    )


def _choose_backend(image: Tensor, requested: str | None) -> str:
    # Registered ops do not go through functorch's transforms (vmap, grad); plain PyTorch does.
    if requested is None and under_functorch():
        return "reference"
    return backends.choose(image.device.type, requested)


def check_image(image: Tensor) -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a Tensor, got {type(image).__name__}")
    if image.dim() != 4:
        raise ValueError(f"image must have shape [B, C, H, W], got {list(image.shape)}")
    if image.dtype not in _IMAGE_DTYPES:
        raise TypeError(
            f"image must have dtype {_names(_IMAGE_DTYPES)}, got {dtype_name(image.dtype)}"
        )
    if image.shape[2] < 1 or image.shape[3] < 1:
        raise ValueError(f"image must be at least 1 x 1 pixels, got {list(image.shape)}")


def raised_under_autocast(region: Tensor) -> Tensor:
    """Half-precision regions are an error, but for those that autocast made: float32."""
    if not isinstance(region, Tensor) or region.dtype not in (torch.float16, torch.bfloat16):
        return region
    return region.float() if torch.is_autocast_enabled(region.device.type) else region


def check_region(name: str, rows: Tensor, image: Tensor, columns: tuple[int, ...]) -> None:
    if not isinstance(rows, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(rows).__name__}")
    if rows.dim() != 2 or rows.shape[1] not in columns:
        wanted = " or ".join(f"[N, {count}]" for count in columns)
        raise ValueError(f"{name} must have shape {wanted}, got {list(rows.shape)}")
    if rows.dtype not in _REGION_DTYPES:
        raise TypeError(
            f"{name} must have dtype {_names(_REGION_DTYPES)}, got {dtype_name(rows.dtype)}"
        )
    if rows.device != image.device:
        raise ValueError(f"{name} must be on image's device {image.device}, got {rows.device}")


def _check_image_index(image_index: Tensor | None, region: Tensor, image: Tensor) -> None:
    if image_index is None:
        if region.shape[0] != image.shape[0]:
            raise ValueError(
                f"region must have one row for each of the {image.shape[0]} images where "
                f"image_index is not given, got {region.shape[0]} rows"
            )
        return
    if not isinstance(image_index, Tensor):
        raise TypeError(f"image_index must be a Tensor, got {type(image_index).__name__}")
    if image_index.dtype not in (torch.int64, torch.int32):
        raise TypeError(
            f"image_index must have dtype int64 or int32, got {dtype_name(image_index.dtype)}"
        )
    if image_index.shape != region.shape[:1]:
        raise ValueError(
            f"image_index must have shape [{region.shape[0]}], one for each region, "
            f"got {list(image_index.shape)}"
        )
    if image_index.device != image.device:
        raise ValueError(
            f"image_index must be on image's device {image.device}, got {image_index.device}"
        )


def _height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(size, int | torch.SymInt):
        height = width = size
    elif isinstance(size, Sequence) and len(size) == 2:
        height, width = size
    else:
        raise TypeError(f"size must be an int or (height, width), got {size}")
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1 pixel each way, got {size}")
    return height, width


def _output_dtype(image: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is None:
        return torch.float32 if image.dtype == torch.uint8 else image.dtype
    if dtype not in _OUTPUT_DTYPES:
        raise TypeError(f"dtype must be {_names(_OUTPUT_DTYPES)}, got {dtype_name(dtype)}")
    return dtype


def _is_channels_last(image: Tensor, memory_format: torch.memory_format | None) -> bool:
    if memory_format is None:
        if image.is_contiguous():
            return False
        # By strides, so that a crop of a channels_last image counts as channels_last too.
        return image.shape[1] > 1 and image.stride(1) == 1 and image.stride(3) > 1
    if memory_format == torch.channels_last:
        return True
    if memory_format == torch.contiguous_format:
        return False
    raise ValueError(
        f"memory_format must be torch.contiguous_format or torch.channels_last, got {memory_format}"
    )


def _normalization(
    image: Tensor, mean: Sequence[float] | Tensor | None, std: Sequence[float] | Tensor | None
) -> Tensor | None:
    """Rows (scale, bias) [2, C] with normalised = pixel * scale + bias, or None for identity."""
    unit = 255.0 if image.dtype == torch.uint8 else 1.0
    if mean is None and std is None and unit == 1.0:
        return None
    channels, device = image.shape[1], image.device
    constant = not (isinstance(mean, Tensor) or isinstance(std, Tensor))
    key = (mean and tuple(mean), std and tuple(std), unit, channels, device) if constant else None
    keep = key is not None and is_plain_eager(image)  # never across a trace or a fake mode
    if keep and key in _known_normalizations:
        return _known_normalizations[key]
    if not keep:
        return _scale_and_bias(mean, std, unit, channels, device)
    with torch.inference_mode(False):  # a tensor of inference mode could not be used in training
        rows = _scale_and_bias(mean, std, unit, channels, device)
    _known_normalizations[key] = rows
    return rows


def _scale_and_bias(
    mean: Sequence[float] | Tensor | None,
    std: Sequence[float] | Tensor | None,
    unit: float,
    channels: int,
    device: torch.device,
) -> Tensor:
    centre = _per_channel("mean", mean, 0.0, channels, device)
    spread = _per_channel("std", std, 1.0, channels, device)
    return torch.stack([1 / (spread * unit), -centre / spread])


def _per_channel(
    name: str,
    value: Sequence[float] | Tensor | None,
    default: float,
    channels: int,
    device: torch.device,
) -> Tensor:
    if value is None:
        return torch.full((channels,), default, dtype=torch.float64, device=device)
    if isinstance(value, Tensor):
        vector = value.detach().to(device=device, dtype=torch.float64)
    else:
        values = [float(item) for item in value]
        if not all(abs(item) < math.inf for item in values) or (name == "std" and 0.0 in values):
            raise ValueError(f"{name} must be finite{' and not 0' * (name == 'std')}, got {values}")
        vector = torch.tensor(values, dtype=torch.float64, device=device)
    if vector.shape != (channels,):
        raise ValueError(
            f"{name} must hold one number for each of the {channels} channels, "
            f"got shape {list(vector.shape)}"
        )
    return vector


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(dtype_name(dtype) for dtype in dtypes)
