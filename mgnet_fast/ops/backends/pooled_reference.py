"""The reference for a pool: image after image, each a call of the reference for tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from . import reference

NOT_TRACED = (
    'the reference reads the table of a pool on the host, which cannot be traced; backend "cpu" can'
)


def glimpse(
    buffer: Tensor,
    table: Tensor,
    region: Tensor,
    image_index: Tensor | None,
    normalization: Tensor | None,
    height: int,
    width: int,
    align_corners: bool,
    padding_mode: str,
    out_dtype: torch.dtype,
    channels_last: bool,
) -> Tensor:
    """As :func:`reference.glimpse` of images in ``buffer`` [1, C, 1, P], where ``table`` says."""
    sampling = (height, width, align_corners, padding_mode, out_dtype, channels_last)
    if region.shape[0] == 0:
        return reference.glimpse(buffer, region, image_index, normalization, *sampling)
    if torch.compiler.is_compiling():
        raise NotImplementedError(NOT_TRACED)
    entries = table.tolist()
    images = range(len(entries)) if image_index is None else image_index.tolist()
    samples = [
        reference.glimpse(
            _image(buffer, entries, image, n), region[n : n + 1], None, normalization, *sampling
        )
        for n, image in enumerate(images)
    ]
    return torch.cat(samples)


def _image(buffer: Tensor, entries: list[list[int]], image: int, n: int) -> Tensor:
    if not 0 <= image < len(entries):
        raise ValueError(f"image_index must be in [0, {len(entries)}), got {image} at position {n}")
    offset, height, width, *strides = entries[image]
    if height == 0:
        raise ValueError(
            f"image_index must name images that the pool holds, got {image} at position {n}, "
            "an empty place"
        )
    return buffer.as_strided((1, buffer.shape[1], height, width), (0, *strides), offset)
