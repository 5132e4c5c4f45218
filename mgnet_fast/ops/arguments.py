"""The checks of the ops' arguments, one function for each.

Every error names the argument, what is wanted and what was got.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .autocast import under_autocast
from .tracing import is_plain_eager

IMAGE_DTYPES = (torch.float32, torch.uint8, torch.bfloat16, torch.float16, torch.float64)
OUTPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
REAL_DTYPES = (torch.float32, torch.float64)
_PADDING_MODES = ("zeros", "border")

# (mean, std, unit, channels, device) -> rows (scale, bias). Most calls come with the same few
# constants, and making a tensor of them takes as long as a small glimpse.
_known_normalizations: dict[Any, Tensor] = {}
_MOST_KNOWN = 64  # entries of a cache; it starts anew then, as the keys of some callers never recur


def remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[key] = value


def type_name(value: object) -> str:
    """Of the value's type, with its module unless that is builtins: "list", "numpy.ndarray"."""
    kind = type(value)
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{home}{kind.__qualname__}"


def check_tensor(name: str, value: object, wanted: str = "a Tensor") -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be {wanted}, got {type_name(value)}")


def check_image(image: Tensor) -> None:
    check_tensor("image", image, "a Tensor or an ImagePool")
    if image.dim() != 4:
        raise ValueError(f"image must have shape [B, C, H, W], got {list(image.shape)}")
    if image.dtype not in IMAGE_DTYPES:
        raise TypeError(
            f"image must have dtype {dtype_names(IMAGE_DTYPES)}, got {dtype_name(image.dtype)}"
        )
    if image.shape[2] < 1 or image.shape[3] < 1:
        raise ValueError(f"image must be at least 1 x 1 pixels, got {list(image.shape)}")


def is_half(rows: Tensor) -> bool:
    return isinstance(rows, Tensor) and rows.dtype in (torch.float16, torch.bfloat16)


def raised_under_autocast(region: Tensor) -> Tensor:
    """Regions in half precision are an error, unless autocast made them: then in float32."""
    if is_half(region) and under_autocast(region.device.type):
        return region.float()
    return region


def check_rows(name: str, rows: Tensor, image: Tensor, columns: tuple[int, ...]) -> None:
    check_tensor(name, rows)
    if rows.dim() != 2 or rows.shape[1] not in columns:
        wanted = " or ".join(f"[N, {count}]" for count in columns)
        raise ValueError(f"{name} must have shape {wanted}, got {list(rows.shape)}")
    if rows.dtype not in REAL_DTYPES:
        raise TypeError(
            f"{name} must have dtype {dtype_names(REAL_DTYPES)}, got {dtype_name(rows.dtype)}"
        )
    if rows.device != image.device:
        raise ValueError(f"{name} must be on image's device {image.device}, got {rows.device}")


def check_image_index(
    image_index: Tensor | None, name: str, region: Tensor, image: Tensor, images: int
) -> None:
    """``region`` are the rows called ``name``."""
    if image_index is None:
        if region.shape[0] != images:
            raise ValueError(
                f"{name} must have one row for each of the {images} images where "
                f"image_index is not given, got {region.shape[0]} rows"
            )
        return
    check_tensor("image_index", image_index)
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


def height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    if type(size) is int and size >= 1:  # most calls; the ways below take a microsecond
        return size, size
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    whole = all(
        isinstance(side, int | torch.SymInt) and not isinstance(side, bool) for side in sides
    )
    if len(sides) != 2 or not whole:
        raise TypeError(f"size must be an int or (height, width), got {size}")
    height, width = sides
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1 pixel each way, got {size}")
    return height, width


def check_padding_mode(padding_mode: str) -> None:
    if padding_mode not in _PADDING_MODES:
        wanted = f"padding_mode must be one of {', '.join(_PADDING_MODES)}"
        if not isinstance(padding_mode, str):
            raise TypeError(f"{wanted}, got {padding_mode} of type {type_name(padding_mode)}")
        raise ValueError(f"{wanted}, got {padding_mode!r}")


def check_flag(name: str, value: bool) -> bool:
    if not isinstance(value, bool | int):
        raise TypeError(f"{name} must be a bool, got {type_name(value)}")
    return bool(value)


def check_edges(antialias: bool, clamp_to_region: bool) -> None:
    if antialias and clamp_to_region:
        raise ValueError(
            "clamp_to_region must be False with antialias=True, whose samples average pixels on "
            "both sides of the region's edges, got True"
        )


def check_range_map(
    scale_range: tuple[float, float], gradient_scale: float
) -> tuple[float, float, float]:
    """(s_min, s_max, gradient factor) as floats."""
    if not isinstance(scale_range, Sequence) or len(scale_range) != 2:
        raise ValueError(f"scale_range must be finite (s_min, s_max), got {scale_range}")
    low, high = (float(bound) for bound in scale_range)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"scale_range must be finite (s_min, s_max), got {scale_range}")
    factor = float(gradient_scale)
    if not abs(factor) < math.inf:
        raise ValueError(f"gradient_scale must be finite, got {gradient_scale}")
    return low, high, factor


def output_dtype(image: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is None:
        return torch.float32 if image.dtype == torch.uint8 else image.dtype
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype, got {dtype!r} of type {type_name(dtype)}")
    if dtype not in OUTPUT_DTYPES:
        raise TypeError(f"dtype must be {dtype_names(OUTPUT_DTYPES)}, got {dtype_name(dtype)}")
    return dtype


def is_channels_last(image: Tensor, memory_format: torch.memory_format | None) -> bool:
    if memory_format is None:
        if image.is_contiguous():
            return False
        # By strides, so that a crop of a channels_last image counts as channels_last too.
        return image.shape[1] > 1 and image.stride(1) == 1 and image.stride(3) > 1
    if memory_format == torch.channels_last:
        return True
    if memory_format == torch.contiguous_format:
        return False
    wanted = "memory_format must be torch.contiguous_format or torch.channels_last"
    if not isinstance(memory_format, torch.memory_format):
        raise TypeError(f"{wanted}, got {memory_format} of type {type_name(memory_format)}")
    raise ValueError(f"{wanted}, got {memory_format}")


def normalization(
    image: Tensor, mean: Sequence[float] | Tensor | None, std: Sequence[float] | Tensor | None
) -> Tensor | None:
    """Rows (scale, bias) [2, C] with normalised = pixel * scale + bias, or None for identity."""
    unit = 255.0 if image.dtype == torch.uint8 else 1.0
    if mean is None and std is None and unit == 1.0:
        return None
    channels, device = image.shape[1], image.device
    mean, std = _numbers("mean", mean), _numbers("std", std)
    if isinstance(mean, Tensor) or isinstance(std, Tensor) or not is_plain_eager(image):
        return _scale_and_bias(mean, std, unit, channels, device)  # never kept across a trace
    key = (mean, std, unit, channels, device)
    if key not in _known_normalizations:
        with torch.inference_mode(False):  # a tensor of inference mode cannot serve training
            rows = _scale_and_bias(mean, std, unit, channels, device)
        remember(_known_normalizations, key, rows)
    return _known_normalizations[key]


def known_normalizations() -> list[Tensor]:
    """The rows that :func:`normalization` would give again."""
    return list(_known_normalizations.values())


def _numbers(
    name: str, value: Sequence[float] | Tensor | None
) -> tuple[float, ...] | Tensor | None:
    if value is None or isinstance(value, Tensor):
        return value
    try:
        return tuple([float(item) for item in value])
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a sequence of numbers, one for each channel, or a Tensor, got {value}"
        ) from None


def _scale_and_bias(
    mean: tuple[float, ...] | Tensor | None,
    std: tuple[float, ...] | Tensor | None,
    unit: float,
    channels: int,
    device: torch.device,
) -> Tensor:
    centre = _per_channel("mean", mean, 0.0, channels, device)
    spread = _per_channel("std", std, 1.0, channels, device)
    return torch.stack([1 / (spread * unit), -centre / spread])


def _per_channel(
    name: str,
    value: tuple[float, ...] | Tensor | None,
    default: float,
    channels: int,
    device: torch.device,
) -> Tensor:
    if value is None:
        return torch.full((channels,), default, dtype=torch.float64, device=device)
    if isinstance(value, Tensor):
        vector = value.detach().to(device=device, dtype=torch.float64)
    else:
        if not all(abs(item) < math.inf for item in value) or (name == "std" and 0.0 in value):
            raise ValueError(f"{name} must be finite{' and not 0' * (name == 'std')}, got {value}")
        vector = torch.tensor(value, dtype=torch.float64, device=device)
    if vector.shape != (channels,):
        raise ValueError(
            f"{name} must hold one number for each of the {channels} channels, "
            f"got shape {list(vector.shape)}"
        )
    return vector


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def dtype_names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(dtype_name(dtype) for dtype in dtypes)
