"""This package's backbones in 8-bit integers, except for the first convolution."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from . import backbone_structure, quantized_convolution
from .activation_range import ActivationRange
from .folded_convolution import FoldedConvolution
from .quantized_convolution import LEVELS, Quantized, QuantizedConvolution, QuantizingConvolution


class QuantizedBackbone(nn.Module):
    """Maps float32 [B, C, h, w] in channels_last to float32 [B, features] on the CPU.

    For inference only. A snapshot: later changes of the original's weights have no effect.
    """

    def __init__(self, features: Callable[[Quantized], Quantized]) -> None:
        super().__init__()
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        # Integers have no NaN, so an image with NaN needs NaN restored here.
        nan_if_odd = x.sum(dim=(1, 2, 3))[:, None] * 0
        values, scale, _ = self._features(Quantized(x, 1.0, 0))
        # The zero point is 0, because the last operation is a ReLU.
        return values.mean(dim=(2, 3), dtype=torch.float32) * scale + nan_if_odd


def quantize(backbone: nn.Module, ranges: Iterable[ActivationRange]) -> QuantizedBackbone:
    """``backbone`` (on the CPU) in 8 bits, with batch norm folded and weights packed.

    Args:
        backbone: one with a known structure.
        ranges: of its convolutions' results, from :func:`.calibration.activation_ranges`.
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
