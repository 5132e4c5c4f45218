"""A convolution with the batch norm after it folded into its weights, for inference."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class FoldedConvolution:
    """``conv(x, weight) + bias`` with zero padding, optionally followed by a ReLU.

    Attributes:
        weight (Tensor[O, I / groups, h, w]): float64, ``weight * norm.weight / sqrt(var + eps)``.
        bias (Tensor[O]): float64, the matching bias.
        stride, padding, dilation: for rows and columns.
        groups: number of channel groups.
        relu: whether a ReLU follows (after the sum, if there is one).
    """

    weight: Tensor
    bias: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    relu: bool

    @classmethod
    def of(
        cls, convolution: nn.Conv2d, norm: nn.BatchNorm2d | None = None, *, relu: bool = True
    ) -> FoldedConvolution:
        """Fold ``norm``, in evaluation mode, into ``convolution``."""
        weight = convolution.weight.detach().double()
        bias = torch.zeros(len(weight), dtype=torch.float64, device=weight.device)
        if convolution.bias is not None:
            bias = convolution.bias.detach().double()
        if norm is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
            weight = weight * scale.view(-1, 1, 1, 1)
            bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
        assert not isinstance(convolution.padding, str)
        return cls(
            weight,
            bias,
            convolution.stride,
            convolution.padding,
            convolution.dilation,
            convolution.groups,
            relu,
        )

    @property
    def geometry(self) -> tuple[list[int], list[int], list[int], int]:
        """Padding, stride, dilation, groups, in the order of oneDNN's float operators."""
        return list(self.padding), list(self.stride), list(self.dilation), self.groups
