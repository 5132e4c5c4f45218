"""The public ops: what they compute, what they accept, and what they say when it is not that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .ops import backends, reference
from .ops import glimpse as _glimpse
from .ops import glimpse_from_logits as _glimpse_from_logits
from .ops.dispatch import is_plain_eager, under_functorch
from .ops.rescale_gradient import rescale_gradient

__all__ = ["glimpse", "glimpse_from_logits", "rescale_gradient"]

_IMAGE_DTYPES = (torch.float32, torch.uint8, torch.bfloat16, torch.float16, torch.float64)
_OUTPUT_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_REGION_DTYPES = (torch.float32, torch.float64)
_PADDING_MODES = ("zeros", "border")

# (mean, std, unit, channels, device) -> rows (scale, bias): the same few constants come at every
# call, and making a tensor of them costs as much as a small glimpse.
_known_normalizations: dict[Any, Tensor] = {}


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
    r"""Bilinear samples of an axis-parallel region of each image: crop and resize in one.

    For output row r and column c, with :math:`(g_y, g_x)` running evenly over [-1, 1]
    (MGNet, section 3.1, eq. 1 and 2; Jaderberg et al. 2015):

    .. math:: out[n, :, r, c] = bilinear(image[i_n], \; y_n + s_y g_y(r), \; x_n + s_x g_x(c))

    It equals ``grid_sample(image, affine_grid(theta, ...))`` with
    ``theta = [[s_x, 0, x], [0, s_y, y]]``, computed in one pass that reads only the pixels it
    needs, with coordinates in double precision.

    Args:
        image (Tensor[B, C, H, W]): float32, float64, float16, bfloat16 or uint8, of any strides,
            on any device. uint8 is divided by 255.
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
            image's.
        backend: "cpu", "triton" (CUDA tensors) or "reference"; default: the fastest that can run
            (``mgnet_fast.backends()``), "reference" under torch.func's transforms.
            "reference" is plain PyTorch.

    Returns:
        Tensor[N, C, h, w]. All NaN for a region that is not finite; an empty batch gives an
        empty result.

    Differentiable once, in ``region`` and (float images) in ``image``, bit-reproducible for any
    number of threads. Where a sample meets a pixel exactly, the derivative is the one towards
    higher coordinates. A region that is not finite gets a NaN gradient and gives its image none.

    Raises:
        TypeError: a tensor of the wrong type or dtype.
        ValueError: a shape, size, mode, device or index that does not fit, or a backend that
            cannot run, with its reason.
    """
    _check_image(image)
    if isinstance(region, Tensor) and region.dtype not in _REGION_DTYPES:
        region = _raised_under_autocast(region)
    _check_region("region", region, image, (3, 4))
    height, width, index, normalization, out_dtype, channels_last, chosen = _sampling(
        image, region, size, image_index, padding_mode, mean, std, dtype, memory_format, backend
    )
    if chosen == "reference" or region.shape[0] == 0 or image.shape[1] == 0:
        return reference.glimpse(
            image, region, index, normalization, height, width, align_corners, padding_mode,
            out_dtype, channels_last,
        )  # fmt: skip
    return _glimpse.glimpse(
        image, region, index, normalization, height, width, align_corners, padding_mode,
        _name(out_dtype), channels_last, chosen,
    )  # fmt: skip


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
    r"""The glimpse that the localization network asks for, and its region (MGNet, section 3.3).

    With ``p = rescale_gradient(sigmoid(logits), gradient_scale)`` and
    ``(s_min, s_max) = scale_range`` (eq. 4 and 5):

    .. math:: s = p_0 (s_{max} - s_{min}) + s_{min}, \quad (x, y) = (2 (p_1, p_2) - 1)(1 - s)

    so that a region with ``s_max <= 1`` never leaves the image. Then as :func:`glimpse`, all in
    one kernel forward and one backward.

    Args:
        image (Tensor[B, C, H, W]): as in :func:`glimpse`.
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
    _check_image(image)
    if isinstance(logits, Tensor) and logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    _check_region("logits", logits, image, (3,))
    low, high = (float(bound) for bound in scale_range)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"scale_range must be finite (s_min, s_max), got {scale_range}")
    height, width, index, normalization, out_dtype, channels_last, chosen = _sampling(
        image, logits, size, image_index, padding_mode, mean, std, dtype, memory_format, backend
    )
    if chosen == "reference" or logits.shape[0] == 0 or image.shape[1] == 0:
        region = reference.region_from_logits(logits, (low, high), gradient_scale)
        samples = reference.glimpse(
            image, region, index, normalization, height, width, align_corners, padding_mode,
            out_dtype, channels_last,
        )  # fmt: skip
        return samples, region
    return _glimpse_from_logits.glimpse_from_logits(
        image, logits, index, normalization, low, high, float(gradient_scale), height, width,
        align_corners, padding_mode, _name(out_dtype), channels_last, chosen,
    )  # fmt: skip


def _sampling(
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
) -> tuple[int, int, Tensor | None, Tensor | None, torch.dtype, bool, str]:
    """What both ops share, checked and resolved: height, width, index, (scale, bias), dtype,
    layout, backend."""
    height, width = _height_and_width(size)
    _check_image_index(image_index, rows, image)
    if padding_mode not in _PADDING_MODES:
        raise ValueError(
            f"padding_mode must be one of {', '.join(_PADDING_MODES)}, got {padding_mode!r}"
        )
    return (
        height,
        width,
        image_index,
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


def _check_image(image: Tensor) -> None:
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a Tensor, got {type(image).__name__}")
    if image.dim() != 4:
        raise ValueError(f"image must have shape [B, C, H, W], got {list(image.shape)}")
    if image.dtype not in _IMAGE_DTYPES:
        raise TypeError(f"image must have dtype {_names(_IMAGE_DTYPES)}, got {_name(image.dtype)}")
    if image.shape[2] < 1 or image.shape[3] < 1:
        raise ValueError(f"image must be at least 1 x 1 pixels, got {list(image.shape)}")


def _raised_under_autocast(region: Tensor) -> Tensor:
    """Half-precision regions are an error, but for those that autocast made."""
    half = region.dtype in (torch.float16, torch.bfloat16)
    return region.float() if half and torch.is_autocast_enabled(region.device.type) else region


def _check_region(name: str, rows: Tensor, image: Tensor, columns: tuple[int, ...]) -> None:
    if not isinstance(rows, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(rows).__name__}")
    if rows.dim() != 2 or rows.shape[1] not in columns:
        wanted = " or ".join(f"[N, {count}]" for count in columns)
        raise ValueError(f"{name} must have shape {wanted}, got {list(rows.shape)}")
    if rows.dtype not in _REGION_DTYPES:
        raise TypeError(f"{name} must have dtype {_names(_REGION_DTYPES)}, got {_name(rows.dtype)}")
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
            f"image_index must have dtype int64 or int32, got {_name(image_index.dtype)}"
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
        raise TypeError(f"dtype must be {_names(_OUTPUT_DTYPES)}, got {_name(dtype)}")
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


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _names(dtypes: Sequence[torch.dtype]) -> str:
    return ", ".join(_name(dtype) for dtype in dtypes)
