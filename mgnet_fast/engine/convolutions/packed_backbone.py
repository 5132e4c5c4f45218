"""This package's backbones with packed weights, which avoids repacking them at every call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from . import backbone_structure, native_backbone, native_convolution
from .native_backbone import NativeBackbone
from .packed_convolution import PackedArithmetic


class PackedBackbone(nn.Module):
    """Maps [B, C, h, w] in channels_last to float32 [B, features] on the CPU, for inference only.

    A snapshot: later changes of the original's weights have no effect.
    """

    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN's ReLU turns NaN into 0, so an image with NaN needs NaN restored here.
        nan_if_odd = x.sum(dim=(1, 2, 3), dtype=torch.float32)[:, None] * 0
        return self._features(x).mean(dim=(2, 3), dtype=torch.float32) + nan_if_odd


def pack(
    backbone: nn.Module, dtype: torch.dtype = torch.float32, weights: str = "fp32"
) -> PackedBackbone | NativeBackbone:
    """``backbone`` (on the CPU) in ``dtype``, with batch norm folded and weights packed.

    Args:
        backbone: one with a known structure.
        dtype: of the arithmetic and of what passes between convolutions.
        weights: storage of the weights in float32 arithmetic, see :mod:`.weight_storage`.

    Raises:
        TypeError: the structure of the backbone is unknown.
    """
    has_kernels = dtype == torch.float32 and native_convolution.refusal() is None
    if has_kernels and backbone_structure.is_known(backbone) and native_backbone.takes(backbone):
        return NativeBackbone(backbone, weights)
    return PackedBackbone(backbone_structure.features(backbone, PackedArithmetic(dtype, weights)))
