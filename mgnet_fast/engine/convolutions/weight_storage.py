"""How the weights of a convolution are stored: in 32, 16 or 8 bits, with a scale per channel."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

LANES = 16  # output channels of a block, side by side
_HUGE_PAGE = 1 << 21
_CHUNK = 1 << 26  # of address space: what is not used costs nothing


class WeightMemory:
    """Places the weights of a backbone one after the other, in the order in which they are read.

    The kernels ask for what lies after the weights at hand, which is the next layer. The memory has
    pages of 2 MB where the system gives them, which are read 1.1 to 1.4 times as fast as pages of
    4 KB. It is freed with the last tensor in it.
    """

    def __init__(self) -> None:
        self._free = torch.empty(0, dtype=torch.uint8)

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory for a contiguous tensor."""
        size = math.prod(shape) * dtype.itemsize
        if size > len(self._free):
            self._free = _large_pages(max(size, _CHUNK))
        taken, self._free = self._free[:size], self._free[-(-size // 64) * 64 :]
        return taken.view(dtype).view(shape)


def _large_pages(size: int) -> Tensor:
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return torch.empty(size, dtype=torch.uint8)
    memory = mmap.mmap(-1, size + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a system without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole = torch.frombuffer(memory, dtype=torch.uint8)
    return whole[-whole.data_ptr() % _HUGE_PAGE :]


class StoredWeight(NamedTuple):
    """``scale[o] * values[o]`` is the weight of output channel o.

    Attributes:
        values (Tensor[blocks, h, w, I, 16]): float32, float16 or int8.
        scale (Tensor[blocks * 16]): float32.
    """

    values: Tensor
    scale: Tensor


def stored(weight: Tensor, storage: str, memory: WeightMemory) -> StoredWeight:
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
    in_order = memory.take(order.shape, order.dtype).copy_(order)
    return StoredWeight(in_order, padded_channels(scale))


def restored(weight: StoredWeight, outputs: int) -> Tensor:
    """float64 [O, I, h, w]: the weight that is stored."""
    blocks, height, width, inputs, lanes = weight.values.shape
    order = weight.values.double().permute(0, 4, 3, 1, 2)
    whole = order.reshape(blocks * lanes, inputs, height, width)[:outputs]
    return whole * weight.scale[:outputs, None, None, None]


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
