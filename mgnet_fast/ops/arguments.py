"""What the arguments of the public ops must be, and what is made of them.

Every error names the argument, what is wanted and what was got.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .backends import choice as backends
from .fusion.fusion_weights import FoldedFusion
from .tracing import is_plain_eager, under_functorch

IMAGE_DTYPES = (torch.float32, torch.uint8, torch.bfloat16, torch.float16, torch.float64)
_OUTPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_REGION_DTYPES = (torch.float32, torch.float64)
_PADDING_MODES = ("zeros", "border")

# (mean, std, unit, channels, device) -> rows (scale, bias): the same few constants come at every
# call, and making a tensor of them costs as much as a small glimpse.
_known_normalizations: dict[Any, Tensor] = {}
_MOST_KNOWN = 64  # somebody draws constants or sizes at random: start again, do not keep them all


# What a call was found to be, by everything that decides it: the same few calls come all the
# time, and checking one anew takes as long as a small glimpse.
_known_samplings: dict[Any, Sampling] = {}


class Sampling(NamedTuple):
    """What both ops share, checked and resolved."""

    height: int
    width: int
    normalization: Tensor | None
    out_dtype: torch.dtype
    out_dtype_name: str
    channels_last: bool


def resolve_sampling(
    name: str,
    columns: tuple[int, ...],
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
    pool: Tensor | None = None,
) -> tuple[Sampling, str]:
    """Checks what is common to both ops; returns it resolved, with the backend to run it.

    ``rows`` are the regions or the logits, called ``name``, of as many columns. With ``pool``, the
    table of an ImagePool, ``image`` is the pool's buffer.
    """
    key = None
    if (
        type(size) is int  # not a bool, not a float: as keys they would pass for the int
        and (image_index is None and pool is None)
        and (isinstance(image, Tensor) and isinstance(rows, Tensor))
        and (_is_constant(mean) and _is_constant(std))
        and is_plain_eager(image, rows)
    ):
        key = (
            columns, image.shape, image.stride(), image.dtype, image.device, rows.shape, rows.dtype,
            rows.device, size, padding_mode, mean, std, dtype, memory_format,
        )  # fmt: skip
        try:
            known = _known_samplings.get(key)
        except TypeError:  # something that is no key, so no right argument either: see below
            key = known = None
        if known is not None:
            return known, backends.choose(image.device.type, backend)
    check_image(image)
    _check_region(name, rows, image, columns)
    height, width = _height_and_width(size)
    _check_image_index(image_index, rows, image, image.shape[0] if pool is None else pool.shape[0])
    if padding_mode not in _PADDING_MODES:
        raise ValueError(
            f"padding_mode must be one of {', '.join(_PADDING_MODES)}, got {padding_mode!r}"
        )
    out_dtype = _output_dtype(image, dtype)
    sampling = Sampling(
        height,
        width,
        normalization(image, mean, std),
        out_dtype,
        dtype_name(out_dtype),
        _is_channels_last(image, memory_format),
    )
    if key is not None:
        _remember(_known_samplings, key, sampling)
    return sampling, _choose_backend(image, backend, pool is not None)


def _is_constant(value: Any) -> bool:
    """Whether mean or std can be part of a key: a tensor, even one in a tuple, may change."""
    return value is None or (
        type(value) is tuple and all(type(item) in (float, int) for item in value)
    )


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[key] = value


def _choose_backend(image: Tensor, requested: str | None, pooled: bool) -> str:
    # Registered ops do not go through functorch's transforms (vmap, grad); plain PyTorch does.
    if requested is None and under_functorch():
        return "reference"
    return backends.choose(image.device.type, requested, pooled)


def check_image(image: Tensor) -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a Tensor or an ImagePool, got {type(image).__name__}")
    if image.dim() != 4:
        raise ValueError(f"image must have shape [B, C, H, W], got {list(image.shape)}")
    if image.dtype not in IMAGE_DTYPES:
        raise TypeError(
            f"image must have dtype {dtype_names(IMAGE_DTYPES)}, got {dtype_name(image.dtype)}"
        )
    if image.shape[2] < 1 or image.shape[3] < 1:
        raise ValueError(f"image must be at least 1 x 1 pixels, got {list(image.shape)}")


def raised_under_autocast(region: Tensor) -> Tensor:
    """Half-precision regions are an error, but for those that autocast made: float32."""
    if not isinstance(region, Tensor) or region.dtype not in (torch.float16, torch.bfloat16):
        return region
    return region.float() if torch.is_autocast_enabled(region.device.type) else region


def _check_region(name: str, rows: Tensor, image: Tensor, columns: tuple[int, ...]) -> None:
    if not isinstance(rows, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(rows).__name__}")
    if rows.dim() != 2 or rows.shape[1] not in columns:
        wanted = " or ".join(f"[N, {count}]" for count in columns)
        raise ValueError(f"{name} must have shape {wanted}, got {list(rows.shape)}")
    if rows.dtype not in _REGION_DTYPES:
        raise TypeError(
            f"{name} must have dtype {dtype_names(_REGION_DTYPES)}, got {dtype_name(rows.dtype)}"
        )
    if rows.device != image.device:
        raise ValueError(f"{name} must be on image's device {image.device}, got {rows.device}")


def _check_image_index(
    image_index: Tensor | None, region: Tensor, image: Tensor, images: int
) -> None:
    if image_index is None:
        if region.shape[0] != images:
            raise ValueError(
                f"region must have one row for each of the {images} images where "
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
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    whole = all(isinstance(side, int | torch.SymInt) for side in sides)
    if len(sides) != 2 or not whole or isinstance(size, bool):
        raise TypeError(f"size must be an int or (height, width), got {size}")
    height, width = sides
    if height < 1 or width < 1:
        raise ValueError(f"size must be at least 1 pixel each way, got {size}")
    return height, width


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


def check_fusion(tokens: Tensor, length: Tensor, folded: FoldedFusion) -> None:
    _check_tokens(tokens, length)
    if not isinstance(folded, FoldedFusion):
        raise TypeError(f"folded must be a FoldedFusion, got {type(folded).__name__}")
    dim = tokens.shape[2]
    for name, part in folded._asdict().items():
        wanted = [dim, dim] if name in ("key_query", "out_value") else [dim]
        if list(part.shape) != wanted:
            raise ValueError(
                f"folded.{name} must have shape {wanted} for tokens of width {dim}, "
                f"got {list(part.shape)}"
            )
        if part.dtype != tokens.dtype:
            raise TypeError(
                f"folded.{name} must have tokens' dtype {dtype_name(tokens.dtype)}, "
                f"got {dtype_name(part.dtype)}"
            )
        if part.device != tokens.device:
            raise ValueError(
                f"folded.{name} must be on tokens' device {tokens.device}, got {part.device}"
            )


def _check_tokens(tokens: Tensor, length: Tensor) -> None:
    for name, value in (("tokens", tokens), ("length", length)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a Tensor, got {type(value).__name__}")
    if tokens.dim() != 3 or tokens.shape[1] < 1:
        raise ValueError(f"tokens must have shape [S, T, D] with T >= 1, got {list(tokens.shape)}")
    if tokens.dtype not in _REGION_DTYPES:
        raise TypeError(
            f"tokens must have dtype {dtype_names(_REGION_DTYPES)}, got {dtype_name(tokens.dtype)}"
        )
    if length.dtype != torch.int64:
        raise TypeError(f"length must have dtype int64, got {dtype_name(length.dtype)}")
    if length.shape != tokens.shape[:1]:
        raise ValueError(
            f"length must have shape [{tokens.shape[0]}], one for each slot, "
            f"got {list(length.shape)}"
        )
    if length.device != tokens.device:
        raise ValueError(f"length must be on tokens' device {tokens.device}, got {length.device}")
    if length.device.type == "cpu" and length.numel() > 0 and is_plain_eager(length):
        least, most = (int(bound) for bound in torch.aminmax(length))
        if least < 1 or most > tokens.shape[1]:
            raise ValueError(
                f"length must lie in 1..{tokens.shape[1]}, the places of tokens, "
                f"got {least if least < 1 else most}"
            )


def _output_dtype(image: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    if dtype is None:
        return torch.float32 if image.dtype == torch.uint8 else image.dtype
    if dtype not in _OUTPUT_DTYPES:
        raise TypeError(f"dtype must be {dtype_names(_OUTPUT_DTYPES)}, got {dtype_name(dtype)}")
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
        _remember(_known_normalizations, key, rows)
    return _known_normalizations[key]


def known_constants() -> list[Tensor]:
    """The constants of recent calls. A captured graph reads them where they are, so whoever keeps
    a graph keeps these."""
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
