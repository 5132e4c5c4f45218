"""The public ops: what they compute, what they accept, and what they say when it is not that."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .ops import backends, reference
from .ops.rescale_gradient import rescale_gradient

__all__ = ["glimpse", "glimpse_from_logits", "rescale_gradient"]

_IMAGE_DTYPES = (torch.float32, torch.uint8, torch.bfloat16, torch.float16, torch.float64)
_OUTPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_REGION_DTYPES = (torch.float32, torch.float64)
_PADDING_MODES = ("zeros", "border")


def glimpse(
    image: Tensor,
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
    _check_image(image)
    _check_region(region, image)
    height, width = _height_and_width(size)
    _check_image_index(image_index, region, image)
    _check_sampling(align_corners, padding_mode)
    out_dtype = _output_dtype(image, dtype)
    channels_last = _is_channels_last(image, memory_format)
    normalization = _normalization(image, mean, std)
    backends.choose(image.device.type, backend)
    return reference.glimpse(
        image,
        region,
        image_index,
        normalization,
        height,
        width,
        align_corners,
        padding_mode,
        out_dtype,
        channels_last,
    )


def glimpse_from_logits(
    image: Tensor,
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
    region = reference.region_from_logits(
        logits.to(reference.sampling_dtype(image)), scale_range, gradient_scale
    )
    samples = glimpse(
        image,
        region,
        size,
        image_index=image_index,
        align_corners=align_corners,
        padding_mode=padding_mode,
        mean=mean,
        std=std,
        dtype=dtype,
        memory_format=memory_format,
        backend=backend,
    )
    return samples, region


def _check_image(image: Tensor) -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a Tensor, got {type(image).__name__}")
    if image.dim() != 4:
        raise ValueError(f"image must have shape [B, C, H, W], got {list(image.shape)}")
    if image.dtype not in _IMAGE_DTYPES:
        raise TypeError(f"image must have dtype {_names(_IMAGE_DTYPES)}, got {_name(image.dtype)}")
    if image.shape[2] < 1 or image.shape[3] < 1:
        raise ValueError(f"image must be at least 1 x 1 pixels, got {list(image.shape)}")


def _check_region(region: Tensor, image: Tensor) -> None:
    if not isinstance(region, Tensor):
        raise TypeError(f"region must be a Tensor, got {type(region).__name__}")
    if region.dim() != 2 or region.shape[1] not in (3, 4):
        raise ValueError(f"region must have shape [N, 3] or [N, 4], got {list(region.shape)}")
    if region.dtype not in _REGION_DTYPES:
        raise TypeError(
            f"region must have dtype {_names(_REGION_DTYPES)}, got {_name(region.dtype)}"
        )
    if region.device != image.device:
        raise ValueError(f"region must be on image's device {image.device}, got {region.device}")


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
        raise TypeError(f"image_index must have dtype int64 or int32, got {image_index.dtype}")
    if image_index.shape != region.shape[:1]:
        raise ValueError(
            f"image_index must have shape [{region.shape[0]}], one for each region, "
            f"got {list(image_index.shape)}"
        )
    if image_index.device != image.device:
        raise ValueError(
            f"image_index must be on image's device {image.device}, got {image_index.device}"
        )


def _check_sampling(align_corners: bool, padding_mode: str) -> None:
    if padding_mode not in _PADDING_MODES:
        raise ValueError(
            f"padding_mode must be one of {', '.join(_PADDING_MODES)}, got {padding_mode!r}"
        )


def _height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1 pixel each way, got {size}")
    return height, width


def _output_dtype(image: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is None:
        return torch.float32 if image.dtype == torch.uint8 else image.dtype
    if dtype not in _OUTPUT_DTYPES:
        raise TypeError(f"dtype must be {_names(_OUTPUT_DTYPES)}, got {_name(dtype)}")
    return dtype


def _is_channels_last(image: Tensor, memory_format: torch.memory_format | None) -> bool:
    if memory_format is None:
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
    channels = image.shape[1]
    centre = _per_channel("mean", mean, 0.0, channels, image.device)
    spread = _per_channel("std", std, 1.0, channels, image.device)
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
        if not all(math.isfinite(item) for item in values) or (name == "std" and 0.0 in values):
            raise ValueError(f"{name} must be finite{' and not 0' * (name == 'std')}, got {values}")
        vector = torch.tensor(values, dtype=torch.float64, device=device)
    if vector.shape != (channels,):
        raise ValueError(
            f"{name} must hold one number for each of the {channels} channels, "
            f"got shape {list(vector.shape)}"
        )
    return vector


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(_name(dtype) for dtype in dtypes)
