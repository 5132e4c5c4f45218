"""Images of different sizes in one flat buffer, for one call of the ops."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..arguments import dtype_name
from .pooled_image import (
    channels_side_by_side,
    check_image,
    check_same,
    copy_pixels,
    dtype_of,
    size_of,
)

# Columns of the table, as the kernels read it; strides and offset are in elements.
ENTRY = ("offset", "height", "width", "stride_c", "stride_h", "stride_w")


class ImagePool:
    """Copies of images of different sizes, accepted wherever an op takes ``image``.

    ``glimpse(pool, region, size, image_index=index)``: ``image_index`` picks each region's image
    (it may be left out where region n looks at image n). The result has the bits of a call for
    each image alone.

    Args:
        images: of one dtype and number of channels. Tensors [C, H, W] of any strides: float32,
            float64, float16, bfloat16 or uint8; or NumPy uint8 arrays [H, W, C], as cameras and
            decoders give them. Each is copied once and keeps its layout: channels side by side,
            or one channel after the other.
        device: of the pool; default: the first image's.

    Attributes:
        buffer (Tensor[1, C, 1, P]): the pixels, P in all; a flat piece of memory whose shape only
            tells the number of channels.
        table (Tensor[B, 6]): int64; offset, height, width and strides of each image.

    ``len(pool)`` is B, ``pool[b]`` a view [C, H, W] of image b. The ops give glimpses of a pool
    the contiguous format unless ``memory_format`` says otherwise. Its pixels get no gradient.

    Raises:
        TypeError: an image of the wrong type or dtype.
        ValueError: no images, or one with another shape, dtype or number of channels than allowed.
    """

    buffer: Tensor
    table: Tensor

    def __init__(
        self,
        images: Sequence[Tensor | np.ndarray],
        *,
        device: torch.device | str | None = None,
    ) -> None:
        images = list(images)
        if not images:
            raise ValueError("images must hold at least one image, got none")
        for position, image in enumerate(images):
            check_image(f"images[{position}]", image)
        first = images[0]
        channels, dtype = size_of(first)[0], dtype_of(first)
        for position, image in enumerate(images):
            check_same(f"images[{position}]", image, channels, dtype)
        if device is None:
            device = first.device if isinstance(first, Tensor) else "cpu"
        pixels = [height * width for _, height, width in map(size_of, images)]
        self._allocate(len(images), sum(pixels), channels, dtype, torch.device(device))
        offset = 0
        for place, image in enumerate(images):
            self._store(place, offset, image)
            offset += channels * pixels[place]

    @property
    def channels(self) -> int:
        return self.buffer.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.buffer.dtype

    @property
    def device(self) -> torch.device:
        return self.buffer.device

    def __len__(self) -> int:
        return self.table.shape[0]

    def __getitem__(self, index: int) -> Tensor:
        """The pixels of image ``index`` [C, H, W], in place.

        Raises:
            IndexError: there is no such image.
        """
        entry = self._entries[index] if 0 <= index < len(self) else None
        if entry is None:
            raise IndexError(f"index must be that of an image of the pool, got {index}")
        return self._view(entry)

    def __repr__(self) -> str:
        held = sum(entry is not None for entry in self._entries)
        return (
            f"{type(self).__name__}({held} of {len(self)} images, {self.channels} channels, "
            f"{dtype_name(self.dtype)}, {self.device})"
        )

    def to(self, device: torch.device | str) -> Self:
        """This pool on ``device``: itself if it is there, else a copy."""
        buffer = self.buffer.to(device)
        if buffer is self.buffer:
            return self
        moved = copy.copy(self)
        moved.buffer, moved.table = buffer, self.table.to(device)
        moved._entries = list(self._entries)
        return moved

    def _allocate(
        self, places: int, pixels: int, channels: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        with torch.inference_mode(False):  # or pools made there could serve no training
            self.buffer = torch.empty(1, channels, 1, pixels, dtype=dtype, device=device)
            self.table = torch.zeros(places, len(ENTRY), dtype=torch.int64, device=device)
        # A copy of the table on the host; None for a place without an image.
        self._entries: list[tuple[int, ...] | None] = [None] * places

    def _view(self, entry: tuple[int, ...]) -> Tensor:
        offset, height, width, *strides = entry
        return self.buffer.as_strided((self.channels, height, width), strides, offset)

    def _store(self, place: int, offset: int, image: Tensor | np.ndarray) -> None:
        channels, height, width = size_of(image)
        if channels_side_by_side(image):
            strides = (1, width * channels, channels)
        else:
            strides = (height * width, width, 1)
        entry = (offset, height, width, *strides)
        copy_pixels(self._view(entry), image)
        self._entries[place] = entry
        self.table[place].copy_(torch.tensor(entry))
