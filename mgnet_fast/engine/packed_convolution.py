"""Convolutions whose weights are packed for oneDNN once, with ReLU and a sum in the same call.

PyTorch packs (reorders) the weights of a convolution at every call, or takes another way for small
inputs that is slower still: for a glimpse of 96 pixels that is most of the time. oneDNN's own
pre-packed form is reached through operators that PyTorch's compiler uses and does not document, so
:func:`refusal` tries them before they are trusted.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MOST_PACKED = 2  # sizes of image at a time; each is a copy of the weights
_TOLERANCE = 1e-4  # of N(0, 1) sums of some hundred products, in another order


class PackedConvolution:
    """``relu(conv(x) + other)`` with the batch norm behind the convolution folded into it.

    Args:
        convolution: float32, on the CPU, zero padding.
        norm: in evaluation: ``weight * norm.weight / sqrt(var + eps)``, and the bias that goes
            with it, products taken in float64.
        relu: whether a ReLU follows.
    """

    def __init__(
        self, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None = None, *, relu: bool = True
    ) -> None:
        self._weight, self._bias = _folded(convolution, norm)
        self._geometry = (
            list(convolution.padding),
            list(convolution.stride),
            list(convolution.dilation),
            convolution.groups,
        )
        self._relu = "relu" if relu else None
        self._packed: dict[tuple[int, int], Tensor] = {}  # by height and width of the input

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
        # For the shape it will meet, or the small late layers take up to 300 times longer; the
        # number of images makes little difference.
        if len(self._packed) >= _MOST_PACKED:
            self._packed.clear()
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            self._weight, *self._geometry, list(x.shape)
        )
        self._packed[x.shape[2], x.shape[3]] = weight
        return weight


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    weight = convolution.weight.detach().double()
    bias = torch.zeros(weight.shape[0], dtype=torch.float64)
    if convolution.bias is not None:
        bias = convolution.bias.detach().double()
    if norm is not None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = weight * scale.view(-1, 1, 1, 1)
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight.float(), bias.float()


@cache
def refusal() -> str | None:
    """Why packed convolutions cannot be used here, or None where a trial gave right numbers."""
    if not torch.backends.mkldnn.is_available():
        return "this torch has no oneDNN"
    generator = torch.Generator().manual_seed(0)
    convolution = nn.Conv2d(8, 16, 3, 2, padding=1)
    x, other = torch.randn(2, 8, 12, 10, generator=generator), torch.randn(2, 16, 6, 5)
    x, other = (each.contiguous(memory_format=torch.channels_last) for each in (x, other))
    try:
        with torch.no_grad():
            expected = convolution(x)
            packed = PackedConvolution(convolution)
            plain = (packed(x) - F.relu(expected)).abs().max()
            summed = (packed(x, other) - F.relu(expected + other)).abs().max()
    except (AttributeError, RuntimeError, TypeError, NotImplementedError) as error:
        return f"this torch has other oneDNN operators than expected: {str(error).splitlines()[0]}"
    if float(max(plain, summed)) > _TOLERANCE:
        return "the oneDNN operators of this torch gave wrong numbers in a trial"
    return None
