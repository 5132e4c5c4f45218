"""Folded convolutions with PyTorch's own operators, on any device and in any float dtype."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .folded_convolution import FoldedConvolution


class PlainConvolution:
    """``relu(conv(x) + other)`` on the device of the weights of ``folded``.

    Args:
        folded: the convolution.
        dtype: of the weights, ``x``, ``other`` and the result.
        layout: memory format of the weights.
    """

    def __init__(
        self, folded: FoldedConvolution, dtype: torch.dtype, layout: torch.memory_format
    ) -> None:
        self._weight = folded.weight.to(dtype, memory_format=layout)
        self._bias = folded.bias.to(dtype)
        self._stride, self._padding = folded.stride, folded.padding
        self._dilation, self._groups = folded.dilation, folded.groups
        self._relu = folded.relu

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        out = F.conv2d(
            x, self._weight, self._bias, self._stride, self._padding, self._dilation, self._groups
        )
        if other is not None:
            out += other
        return F.relu_(out) if self._relu else out


class PlainArithmetic:
    """Plain arithmetic; see :class:`.backbone_structure.Arithmetic`."""

    def __init__(self, dtype: torch.dtype, layout: torch.memory_format) -> None:
        self._dtype, self._layout = dtype, layout

    def convolution(self, folded: FoldedConvolution) -> PlainConvolution:
        return PlainConvolution(folded, self._dtype, self._layout)

    def max_pool(self, x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        return F.max_pool2d(x, kernel, stride, padding)
