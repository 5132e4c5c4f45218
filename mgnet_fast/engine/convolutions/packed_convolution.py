"""Convolutions whose weights are packed for oneDNN once, fused with ReLU and a sum.

PyTorch packs (reorders) the weights of a convolution at every call, or takes a slower path for
small inputs. For a glimpse of 96 pixels that is most of the time. oneDNN's pre-packed form is
available through undocumented operators that PyTorch's compiler uses, so :func:`refusal` tests them
first.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import native_convolution
from .folded_convolution import FoldedConvolution
from .native_convolution import NativeConvolution
from .weight_storage import WeightMemory

_MOST_PACKED = 2  # image sizes kept; each needs a copy of the weights
# Bounds for sums of some hundred products of about N(0, 1), in another order or rounded.
_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
_UNITS = {torch.bfloat16: "bfloat16", torch.float16: "float16"}


class PackedConvolution:
    """``relu(conv(x) + other)`` on the CPU, with zero padding, in float32, bfloat16 or float16.

    Args:
        folded: the convolution.
        dtype: of the weights, ``x``, ``other`` and the result; oneDNN accumulates in float32.
    """

    def __init__(self, folded: FoldedConvolution, dtype: torch.dtype = torch.float32) -> None:
        self._weight, self._bias = folded.weight.to(dtype), folded.bias.to(dtype)
        self._geometry = folded.geometry
        self._relu = "relu" if folded.relu else None
        self._packed: dict[tuple[int, int], Tensor] = {}  # by input height and width

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        weight = self._packed.get((x.shape[2], x.shape[3]))
        if weight is None:
            weight = self._pack(x)
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, weight, self._bias, *self._geometry, self._relu or "none", [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, weight, self._bias, *self._geometry, "add", 1.0, self._relu, [], None
        )

    def _pack(self, x: Tensor) -> Tensor:
        # Packed for the actual input size; otherwise the small late layers take up to 300 times
        # longer. The number of images matters little.
        if len(self._packed) >= _MOST_PACKED:
            self._packed.clear()
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            self._weight, *self._geometry, list(x.shape)
        )
        self._packed[x.shape[2], x.shape[3]] = weight
        return weight


class PackedArithmetic:
    """Convolutions with packed weights; see :class:`.backbone_structure.Arithmetic`.

    In float32, the kernels of this package compute what they can on this machine, with weights in
    the given storage, and oneDNN the rest.
    """

    def __init__(self, dtype: torch.dtype = torch.float32, weights: str = "fp32") -> None:
        self._dtype, self._weights, self._memory = dtype, weights, WeightMemory()
        self._has_kernels = dtype == torch.float32 and native_convolution.refusal() is None

    def convolution(self, folded: FoldedConvolution) -> PackedConvolution | NativeConvolution:
        if self._has_kernels and native_convolution.takes(folded):
            return NativeConvolution(folded, self._weights, self._memory)
        return PackedConvolution(folded, self._dtype)

    def max_pool(self, x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        return F.max_pool2d(x, kernel, stride, padding)


@cache
def refusal(dtype: torch.dtype = torch.float32) -> str | None:
    """Why packed convolutions cannot be used here, or None if a test gave correct numbers."""
    if not torch.backends.mkldnn.is_available():
        return "this torch has no oneDNN"
    generator = torch.Generator().manual_seed(0)
    convolution = nn.Conv2d(8, 16, 3, 2, padding=1)
    x, other = torch.randn(2, 8, 12, 10, generator=generator), torch.randn(2, 16, 6, 5)
    x, other = (each.to(dtype, memory_format=torch.channels_last) for each in (x, other))
    try:
        if dtype in _UNITS and not _has_units(dtype):
            return f"this processor has no instructions for {_UNITS[dtype]} that oneDNN uses"
        with torch.no_grad():
            expected = convolution(x.float())
            packed = PackedConvolution(FoldedConvolution.of(convolution), dtype)
            plain = (packed(x).float() - F.relu(expected)).abs().max()
            summed = (packed(x, other).float() - F.relu(expected + other.float())).abs().max()
    except (AttributeError, RuntimeError, TypeError, NotImplementedError) as error:
        first_line = str(error).splitlines()[0]
        return f"the oneDNN operators of this torch are not the expected ones: {first_line}"
    if float(max(plain, summed)) > _TOLERANCES[dtype]:
        return "the oneDNN operators of this torch gave wrong numbers in a trial"
    return None


def _has_units(dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
