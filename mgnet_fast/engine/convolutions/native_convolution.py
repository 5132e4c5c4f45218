"""Convolutions by this package's own kernels (``csrc/convolution.h``), for small maps at batch 1.

A map of a glimpse has few pixels: 3 x 3 in the last layers of a ResNet at 96 pixels. General
libraries compute its zero padding, and read weights no faster than products of so few pixels need
them. These kernels compute only products with pixels, ask memory for the coming weights, and can
store weights in 16 or 8 bits.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...ops.backends import native
from .folded_convolution import FoldedConvolution
from .weight_storage import padded_channels, stored

_MOST_PLANS = 4  # map sizes whose plans are kept
_TYPES = {torch.float32: 0, torch.float16: 1, torch.int8: 2}
_FAST = ("avx512", "avx2")


class NativeConvolution:
    """``relu(conv(x) + other)`` of float32 on the CPU, with zero padding.

    Each output is one sum in a fixed order, so its bits depend neither on the other images nor on
    the number of threads. NaN stays NaN.

    Args:
        folded: the convolution; :func:`takes` must be True for it.
        storage: of the weights: "fp32", "fp16" or "int8". The arithmetic is float32.
    """

    def __init__(self, folded: FoldedConvolution, storage: str = "fp32") -> None:
        outputs, inputs, *kernel = folded.weight.shape
        self._weight, self._scale = stored(folded.weight, storage)
        self._bias = padded_channels(folded.bias)
        self._outputs, self._relu = outputs, int(folded.relu)
        self._kernel, self._stride, self._padding = kernel, folded.stride, folded.padding
        self._sizes = (inputs, outputs, *kernel, *folded.stride, *folded.padding)
        self._addresses = tuple(each.data_ptr() for each in (self._weight, self._scale, self._bias))
        self._plans: dict[tuple[torch.Size, torch.dtype], tuple[Any, tuple[int, int]]] = {}

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        plan, size = self._plans.get((x.shape[1:], x.dtype)) or self._plan(x)
        x = x.contiguous(memory_format=torch.channels_last)
        out = torch.empty((x.shape[0], self._outputs, *size), memory_format=torch.channels_last)
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
            plan, x.data_ptr(), x.shape[0], *self._addresses, at, out.data_ptr(),
            torch.get_num_threads(),
        )  # fmt: skip
        return out

    def _plan(self, x: Tensor) -> tuple[Any, tuple[int, int]]:
        channels, height, width = x.shape[1:]
        if channels != self._sizes[0] or x.dtype != torch.float32:
            raise ValueError(
                f"x must be float32 [B, {self._sizes[0]}, h, w], got {x.dtype} of shape "
                f"{list(x.shape)}"
            )
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        plan = native.extension.convolution_plan(
            *self._sizes, height, width, _TYPES[self._weight.dtype], self._relu
        )
        axes = zip((height, width), self._kernel, self._stride, self._padding, strict=True)
        size = tuple((n + 2 * pad - kernel) // step + 1 for n, kernel, step, pad in axes)
        self._plans[x.shape[1:], x.dtype] = made = plan, (size[0], size[1])
        return made


def refusal() -> str | None:
    """Why the kernels are not used on this machine, or None."""
    if native.extension is None:
        return native.reason
    isa = native.extension.selected_isa()
    if isa not in _FAST:
        return f"they need a processor with AVX2 and F16C, or AVX-512; this one runs {isa}"
    return None


def takes(folded: FoldedConvolution) -> bool:
    """Whether the kernels compute ``folded``: one group, no dilation, padding within the kernel."""
    kernel = folded.weight.shape[2:]
    return (
        folded.groups == 1
        and all(step == 1 for step in folded.dilation)
        and all(pad < size for pad, size in zip(folded.padding, kernel, strict=True))
    )
