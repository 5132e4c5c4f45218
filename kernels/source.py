"""The source of the pixels: one tensor, or a pool of images of different sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from .tiles import is_interleaved, offset_type


@dataclass(frozen=True)
class Source:
    tensor: Tensor
    pooled: bool
    images: int
    height: int  # 0 for a pool, like width and strides: each image has its own
    width: int
    strides: tuple[int, ...]

    @staticmethod
    def of(image: Tensor, pool: Tensor | None) -> Source:
        """``pool`` is None, or the table of the buffer ``image``."""
        if pool is None:
            images, _, height, width = image.shape
            return Source(image, False, images, height, width, image.stride())
        return Source(image, True, pool.shape[0], 0, 0, (0, 0, 0, 0))

    @property
    def elements(self) -> int:
        return self.tensor.numel()

    @property
    def interleaved(self) -> bool:
        """Whether a program handles the channels of a pixel together.

        The table of a pool is on the device, so its layout is a guess: uint8 images come from
        cameras and decoders, which interleave channels.
        """
        if self.pooled:
            return self.tensor.dtype == torch.uint8 and self.tensor.shape[1] > 1
        return is_interleaved(self.tensor)

    def offset_type(self, samples: Tensor) -> tl.dtype:
        """The integer type for offsets inside one image and one glimpse."""
        if self.pooled:
            return tl.int64 if self.elements >= 2**31 else offset_type(samples)
        return offset_type(self.tensor, samples)


def index_stride(index: Tensor | None) -> int:
    return 0 if index is None else index.stride(0)


def geometry(options: Any, regions: Tensor) -> dict[str, Any]:
    """The options that are compile-time constants of the kernels."""
    return {
        "NUMBERS": regions.shape[1],
        "ALIGN": options.align_corners,
        "BORDER": options.padding_mode == "border",
    }
