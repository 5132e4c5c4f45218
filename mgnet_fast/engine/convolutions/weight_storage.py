"""How the weights of a convolution are stored: in 32, 16 or 8 bits, with a scale per channel."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

LANES = 16  # output channels of a block, side by side
_HUGE_PAGE = 1 << 21


class StoredWeight(NamedTuple):
    """``scale[o] * values[o]`` is the weight of output channel o.

    Attributes:
        values (Tensor[blocks, h, w, I, 16]): float32, float16 or int8.
        scale (Tensor[blocks * 16]): float32.
    """

    values: Tensor
    scale: Tensor


def stored(weight: Tensor, storage: str) -> StoredWeight:
    """``weight`` (float64 [O, I, h, w]) rounded once, in the order that the kernels read it.

    - "fp32": to float32, scale 1.
    - "fp16": to float16, after a division by a power of two that brings the largest weight of
      each channel to 1/2...1. So no weight is too large, and the small ones are exact to 2^-25 of
      the largest.
    - "int8": to integers -127...127, with the largest weight of each channel at 127.
    """
    values, scale = _ROUNDED[storage](weight)
    outputs, inputs, height, width = values.shape
    blocks = -(-outputs // LANES)
    padded = values.new_zeros(blocks * LANES, inputs, height, width)
    padded[:outputs] = values
    order = padded.view(blocks, LANES, inputs, height, width).permute(0, 3, 4, 2, 1)
    in_order = _in_large_pages(order.shape, order.dtype).copy_(order)
    return StoredWeight(in_order, padded_channels(scale))


def padded_channels(values: Tensor) -> Tensor:
    """float32 ``values`` [O] with zeros for the rest of the last block."""
    padded = torch.zeros(-(-len(values) // LANES) * LANES)
    padded[: len(values)] = values
    return padded


def _largest(weight: Tensor) -> Tensor:
    largest = weight.abs().amax(dim=(1, 2, 3))
    return torch.where(largest > 0, largest, 1.0)


def _single(weight: Tensor) -> tuple[Tensor, Tensor]:
    return weight.float(), torch.ones(len(weight))


def _half(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = torch.exp2(torch.frexp(_largest(weight)).exponent.double())
    return (weight / scale.view(-1, 1, 1, 1)).half(), scale.float()


def _bytes(weight: Tensor) -> tuple[Tensor, Tensor]:
    scale = (_largest(weight) / 127).float()
    integers = (weight / scale.double().view(-1, 1, 1, 1)).round().clamp(-127, 127)
    return integers.to(torch.int8), scale


_ROUNDED: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "fp32": _single,
    "fp16": _half,
    "int8": _bytes,
}
STORAGES = tuple(_ROUNDED)


def _in_large_pages(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Memory in pages of 2 MB where the system gives them: large weights are read 1.1 to 1.4 times
    as fast as from pages of 4 KB."""
    count = shape.numel()
    size = count * dtype.itemsize
    if size < _HUGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(shape, dtype=dtype)
    memory = mmap.mmap(-1, size + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a system without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    start = -whole.data_ptr() % _HUGE_PAGE
    return whole[start : start + size].view(dtype).view(shape)
