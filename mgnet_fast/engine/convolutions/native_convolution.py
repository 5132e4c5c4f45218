"""Convolutions by this package's own kernels (``csrc/convolutions/``), made for maps of few pixels.

In the last layers of a ResNet, a glimpse of 96 pixels is a map of 3 x 3. General libraries multiply
its zero padding, and wait for the weights, which are used only nine times. These kernels leave the
padding out, prefetch the weights, and can store them in 16 or 8 bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...ops.backends import native
from . import winograd
from .folded_convolution import FoldedConvolution
from .weight_storage import WeightMemory, padded_channels, restored, stored

_MOST_PLANS = 4  # map sizes whose plans are kept
_TYPES = {torch.float32: 0, torch.float16: 1, torch.int8: 2}
_FAST = ("avx512", "avx2")


class Planned(NamedTuple):
    """A convolution of maps of one size.

    Attributes:
        shape: the extension's description of it.
        addresses: of its weights, their scale and the bias.
        size: height and width of the result.
    """

    shape: tuple[int, ...]
    addresses: tuple[int, ...]
    size: tuple[int, int]


class NativeConvolution:
    """``relu(conv(x) + other)`` of float32 on the CPU, with zero padding.

    Each output is one sum in a fixed order, so its bits depend neither on the other images nor on
    the number of threads. NaN stays NaN. Where :mod:`.winograd` is faster, NaN and infinity make a
    whole tile of outputs NaN.

    Args:
        folded: the convolution; :func:`takes` must be True for it.
        storage: of the weights: "fp32", "fp16" or "int8". The arithmetic is float32.
        memory: where to put them, by default on their own.
    """

    def __init__(
        self,
        folded: FoldedConvolution,
        storage: str = "fp32",
        memory: WeightMemory | None = None,
    ) -> None:
        outputs, inputs, *kernel = folded.weight.shape
        self._storage, self._memory = storage, memory or WeightMemory()
        self._stored = {0: stored(folded.weight, storage, self._memory)}  # by tiles of Winograd's
        self._bias = padded_channels(folded.bias)
        self._axes = tuple(zip(kernel, folded.stride, folded.padding, strict=True))
        self._padding = folded.padding
        self._sizes = (inputs, outputs, *kernel, *folded.stride, *folded.padding)
        self._relu = int(folded.relu)
        self.outputs = outputs
        self._plans: dict[tuple[torch.Size, torch.dtype], tuple[Any, Planned]] = {}

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        plan, planned = self._plans.get((x.shape[1:], x.dtype)) or self._plan(x)
        x = x.contiguous(memory_format=torch.channels_last)
        out = torch.empty(
            (x.shape[0], self.outputs, *planned.size), memory_format=torch.channels_last
        )
        at = 0
        if other is not None:
            if other.shape != out.shape or other.dtype != out.dtype:
                raise ValueError(
                    f"other must be float32 of shape {list(out.shape)}, got {other.dtype} of shape "
                    f"{list(other.shape)}"
                )
            other = other.contiguous(memory_format=torch.channels_last)
            at = other.data_ptr()
        native.extension.convolution(
            plan, x.data_ptr(), x.shape[0], *planned.addresses, at, out.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip
        return out

    def at(self, height: int, width: int) -> Planned:
        """How maps of this size are computed."""
        down, across = (
            (size + 2 * padding - kernel) // stride + 1
            for size, (kernel, stride, padding) in zip((height, width), self._axes, strict=True)
        )
        tile = 0
        if down > 0 and across > 0 and all(axis[:2] == (3, 1) for axis in self._axes):
            channels, outputs = self._sizes[:2]
            size = height, width
            tile = winograd.tile_for(channels, outputs, size, self._padding, self._storage)
        if tile not in self._stored:
            weight = winograd.transformed(restored(self._stored[0], self.outputs), tile)
            storage = winograd.storage_for(tile, self._storage)
            self._stored[tile] = stored(weight, storage, self._memory)
        tensors = (*self._stored[tile], self._bias)
        return Planned(
            (*self._sizes, height, width, _TYPES[tensors[0].dtype], self._relu, tile),
            tuple(each.data_ptr() for each in tensors),
            (down, across),
        )

    def _plan(self, x: Tensor) -> tuple[Any, Planned]:
        if x.shape[1] != self._sizes[0] or x.dtype != torch.float32:
            raise ValueError(
                f"x must be float32 [B, {self._sizes[0]}, h, w], got {x.dtype} of shape "
                f"{list(x.shape)}"
            )
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        planned = self.at(x.shape[2], x.shape[3])
        made = native.extension.convolution_plan(planned.shape), planned
        self._plans[x.shape[1:], x.dtype] = made
        return made


def refusal() -> str | None:
    """Why the kernels are not used on this machine, or None."""
    if native.extension is None:
        return native.reason
    isa = native.extension.selected_isa()
    if isa not in _FAST:
        return f"they need a processor with AVX2 and F16C, or AVX-512; this one runs {isa}"
    return None


def takes(convolution: FoldedConvolution | nn.Conv2d) -> bool:
    """Whether the kernels compute it: one group, no dilation, padding smaller than the kernel."""
    assert not isinstance(convolution.padding, str)
    sizes = zip(convolution.padding, convolution.weight.shape[2:], strict=True)
    return (
        convolution.groups == 1
        and all(step == 1 for step in convolution.dilation)
        and all(padding < kernel for padding, kernel in sizes)
    )
