"""Convolutions in 8-bit integers by oneDNN, with weights packed once, fused with ReLU and a sum.

A real number r is stored as the integer ``q = clamp(round(r / scale) + zero_point)``: activations
in 0..255 with one scale per tensor, weights in -limit..limit with one scale per output channel and
zero point 0. Products and their 32-bit sums are exact:

    conv(x)[o] = x.scale * weight_scale[o] * sum (x.q - x.zero_point) * weight.q[o]  + bias[o]

Processors without 8-bit dot products (VNNI) add pairs of products in 16 bits, which overflows
silently with 8-bit weights: 2 * 255 * 127 is more than 32767. 7-bit weights fit.
:func:`weight_limit` tests which of the two is correct on this processor.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .folded_convolution import FoldedConvolution
from .packed_convolution import PackedConvolution
from .packed_convolution import refusal as packed_refusal

LEVELS = 255  # of an activation, above 0
FULL_LIMIT = 127
REDUCED_LIMIT = 64  # 2 * 255 * 64 = 32640
_MOST_PACKED = 2  # image sizes kept; each needs a copy of the weights


class Quantized(NamedTuple):
    """The real numbers ``scale * (values - zero_point)``."""

    values: Tensor
    scale: float
    zero_point: int


class QuantizedConvolution:
    """``relu(conv(x) + other)`` of uint8 [B, C, h, w] in channels_last, on the CPU.

    Args:
        folded: the convolution, with zero padding.
        scale, zero_point: of the result.
        limit: largest absolute value of an integer weight.

    ``other`` may be overwritten. A sum without a ReLU is not supported.
    """

    def __init__(
        self, folded: FoldedConvolution, scale: float, zero_point: int, limit: int
    ) -> None:
        self._weight, self._weight_scale = quantized_weight(folded.weight, limit)
        self._zeros = torch.zeros(len(self._weight), dtype=torch.int64)
        self._bias = folded.bias.float()
        padding, stride, dilation, groups = folded.geometry
        self._geometry = (stride, padding, dilation, groups)
        self._relu = "relu" if folded.relu else "none"
        self._scale, self._zero_point = scale, zero_point
        self._packed: dict[tuple[int, int], Tensor] = {}  # by input height and width

    def __call__(self, x: Quantized, other: Quantized | None = None) -> Quantized:
        weight = self._packed.get((x.values.shape[2], x.values.shape[3]))
        if weight is None:
            weight = self._pack(x)
        if other is None:
            values = torch.ops.onednn.qconv2d_pointwise(
                *x, weight, self._weight_scale, self._zeros, self._bias, *self._geometry,
                self._scale, self._zero_point, torch.uint8, self._relu, [], "",
            )  # fmt: skip
        else:
            values = torch.ops.onednn.qconv2d_pointwise.binary(
                *x, weight, self._weight_scale, self._zeros, other.values, self._bias,
                *self._geometry, self._scale, self._zero_point, torch.uint8,
                other.scale, other.zero_point, "sum", 1.0, self._relu, [], None,
            )  # fmt: skip
        return Quantized(values, self._scale, self._zero_point)

    def _pack(self, x: Quantized) -> Tensor:
        if len(self._packed) >= _MOST_PACKED:
            self._packed.clear()
        weight = torch.ops.onednn.qconv_prepack(
            self._weight, self._weight_scale, x.scale, x.zero_point, *self._geometry,
            list(x.values.shape),
        )  # fmt: skip
        self._packed[x.values.shape[2], x.values.shape[3]] = weight
        return weight


class QuantizingConvolution:
    """``relu(conv(x))`` of float32, rounded to uint8: the first convolution of a network.

    The result's scale is divided into the weights, and half a level is added to the bias. The ReLU
    clamps at both ends, so dropping the fraction rounds to nearest.
    """

    def __init__(self, folded: FoldedConvolution, scale: float) -> None:
        in_levels = replace(folded, weight=folded.weight / scale, bias=folded.bias / scale + 0.5)
        self._convolution = PackedConvolution(in_levels, ceiling=LEVELS + 0.5)
        self._scale = scale

    def __call__(self, x: Quantized, other: Quantized | None = None) -> Quantized:
        levels = self._convolution(x.values)
        # Via int16, because PyTorch converts float32 to int16 in vectors but to uint8 one by one.
        return Quantized(levels.to(torch.int16).to(torch.uint8), self._scale, 0)


def max_pool(x: Quantized, kernel: int, stride: int, padding: int) -> Quantized:
    """The maximum of each window."""
    pooled = torch.ops.quantized.max_pool2d(
        x.values, [kernel] * 2, [stride] * 2, [padding] * 2, [1, 1], False
    )
    return x._replace(values=pooled)


def quantized_weight(weight: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """int8 weights and float32 scales, one per output channel of ``weight`` [O, I, h, w]."""
    scale = weight.abs().amax(dim=(1, 2, 3)) / limit
    scale = torch.where(scale > 0, scale, 1.0).float()
    integers = (weight / scale.double().view(-1, 1, 1, 1)).round().clamp(-limit, limit)
    return integers.to(torch.int8), scale


def weight_limit() -> int:
    """The largest integer weight for which this processor computes correctly.

    Raises:
        RuntimeError: there is none; the message is that of :func:`refusal`.
    """
    found = _trial()
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


def refusal() -> str | None:
    """Why 8-bit convolutions cannot be used here, or None if a test gave correct numbers."""
    found = _trial()
    return found if isinstance(found, str) else None


# Input channels, output channels, kernel, stride, groups: one of each kind in the backbones.
_TRIALS = ((64, 64, 3, 1, 1), (128, 64, 1, 2, 1), (64, 64, 3, 2, 16), (16, 32, 5, 1, 1))


@cache
def _trial() -> int | str:
    reason = packed_refusal()
    if reason is not None:
        return reason
    try:
        for limit in (FULL_LIMIT, REDUCED_LIMIT):
            if all(_is_right(*trial, limit) for trial in _TRIALS):
                return limit
    except (AttributeError, RuntimeError, TypeError, NotImplementedError) as error:
        first_line = str(error).splitlines()[0]
        return f"the 8-bit operators of this torch are not the expected ones: {first_line}"
    return "the 8-bit operators of this torch gave wrong numbers in a trial"


def _is_right(inputs: int, outputs: int, kernel: int, stride: int, groups: int, limit: int) -> bool:
    """Whether the largest possible numbers, and random ones, are correct within one level."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, LEVELS + 1, (2, inputs, 8, 8), generator=generator)
    x[0] = LEVELS
    weight = torch.randint(
        -limit, limit + 1, (outputs, inputs // groups, kernel, kernel), generator=generator
    )
    weight[0], weight[1] = limit, -limit
    weight[:, 0, 0, 0] = limit  # makes the scale of every channel 1
    folded = FoldedConvolution(
        weight.double(), torch.linspace(-9, 9, outputs, dtype=torch.float64), (stride, stride),
        (kernel // 2, kernel // 2), (1, 1), groups, relu=True,
    )  # fmt: skip
    sums = F.conv2d(x.double(), folded.weight, folded.bias, stride, kernel // 2, groups=groups)
    scale = float(sums.max()) / LEVELS
    other = torch.randint(0, LEVELS + 1, sums.shape, generator=generator)
    convolution = QuantizedConvolution(folded, scale, 0, limit)
    first = Quantized(_bytes(x), 1.0, 0)
    alone = convolution(first).values
    shortcut = Quantized(_bytes(other), 2 * scale, 100)
    summed = convolution(first, shortcut).values
    wanted = sums + 2 * scale * (other - 100)
    return all(
        bool(((real / scale).clamp(0, LEVELS) - found).abs().max() <= 1)
        for real, found in ((sums, alone), (wanted, summed))
    )


def _bytes(integers: Tensor) -> Tensor:
    return integers.to(torch.uint8, memory_format=torch.channels_last)
