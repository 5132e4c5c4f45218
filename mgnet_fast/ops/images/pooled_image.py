"""The images that a pool accepts: tensors [C, H, W], or NumPy uint8 arrays [H, W, C]."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..arguments import IMAGE_DTYPES, dtype_name, dtype_names


def size_of(image: Tensor | np.ndarray) -> tuple[int, int, int]:
    """(channels, height, width)"""
    first, second, third = image.shape
    return (third, first, second) if isinstance(image, np.ndarray) else (first, second, third)


def dtype_of(image: Tensor | np.ndarray) -> torch.dtype:
    return image.dtype if isinstance(image, Tensor) else torch.uint8


def channels_side_by_side(image: Tensor | np.ndarray) -> bool:
    if not isinstance(image, Tensor):
        return True
    return image.shape[0] > 1 and image.stride(0) == 1 and image.stride(2) > 1


def copy_pixels(to: Tensor, image: Tensor | np.ndarray) -> None:
    """Copies ``image`` into ``to`` [C, H, W]."""
    if isinstance(image, Tensor):
        to.copy_(image)
    elif to.device.type == "cpu":  # NumPy takes what torch does not: read-only, reversed arrays
        np.copyto(to.permute(1, 2, 0).numpy(), image)
    else:
        to.copy_(torch.tensor(np.ascontiguousarray(image)).permute(2, 0, 1))


def check_image(name: str, image: Tensor | np.ndarray) -> None:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8:
            raise TypeError(f"{name} must be uint8 where it is a NumPy array, got {image.dtype}")
        wanted = "[H, W, C], as it is a NumPy array,"
    elif isinstance(image, Tensor):
        if image.dtype not in IMAGE_DTYPES:
            raise TypeError(
                f"{name} must have dtype {dtype_names(IMAGE_DTYPES)}, got {dtype_name(image.dtype)}"
            )
        if image.requires_grad:
            raise ValueError(
                f"{name} must not require a gradient, as a pool holds copies of pixels; "
                "give image.detach()"
            )
        wanted = "[C, H, W]"
    else:
        raise TypeError(
            f"{name} must be a Tensor or a NumPy array of uint8, got {type(image).__name__}"
        )
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(
            f"{name} must have shape {wanted} with no empty axis, got {list(image.shape)}"
        )


def check_same(name: str, image: Tensor | np.ndarray, channels: int, dtype: torch.dtype) -> None:
    if dtype_of(image) != dtype:
        raise TypeError(
            f"{name} must have the pool's dtype {dtype_name(dtype)}, "
            f"got {dtype_name(dtype_of(image))}"
        )
    if size_of(image)[0] != channels:
        raise ValueError(
            f"{name} must have the pool's {channels} channels, got {size_of(image)[0]}"
        )
