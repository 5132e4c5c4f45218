"""The backbones of this package in 8-bit integers, all but their first convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from . import backbone_structure, quantized_convolution
from .activation_range import ActivationRange
from .folded_convolution import FoldedConvolution
from .quantized_convolution import LEVELS, Quantized, QuantizedConvolution, QuantizingConvolution


class QuantizedBackbone(nn.Module):
    """float32 [B, C, h, w] in channels_last to float32 [B, features], on the CPU, inference only.

    A snapshot: weights changed later in the original do not reach it.
    """

    def __init__(self, features: Callable[[Quantized], Quantized]) -> None:
        super().__init__()
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        # Integers have no NaN: an image with NaN in it must not get a sure answer by that.
        nan_if_odd = x.sum(dim=(1, 2, 3))[:, None] * 0
        values, scale, _ = self._features(Quantized(x, 1.0, 0))
        # The zero point is 0: what comes last is a ReLU.
        return values.mean(dim=(2, 3), dtype=torch.float32) * scale + nan_if_odd


def quantize(backbone: nn.Module, ranges: Iterable[ActivationRange]) -> QuantizedBackbone:
    """``backbone`` (on the CPU) with batch norm folded, in 8 bits, weights packed.

    Args:
        backbone: one that :func:`.backbone_structure.is_known` knows.
        ranges: of its convolutions' results, by :func:`.calibration.activation_ranges`.
    """
    return QuantizedBackbone(backbone_structure.features(backbone, _QuantizedArithmetic(ranges)))


class _QuantizedArithmetic:
    """See :class:`.backbone_structure.Arithmetic`."""

    def __init__(self, ranges: Iterable[ActivationRange]) -> None:
        self._ranges = iter(ranges)
        self._limit = quantized_convolution.weight_limit()
        self._is_first = True

    def convolution(
        self, folded: FoldedConvolution
    ) -> QuantizedConvolution | QuantizingConvolution:
        scale, zero_point = next(self._ranges).integers(LEVELS)
        if self._is_first:
            self._is_first = False
            return QuantizingConvolution(folded, scale)
        return QuantizedConvolution(folded, scale, zero_point, self._limit)

    def max_pool(self, x: Quantized, kernel: int, stride: int, padding: int) -> Quantized:
        return quantized_convolution.max_pool(x, kernel, stride, padding)
