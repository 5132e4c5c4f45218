"""The backbones of this package with packed weights: the same features, without the repacking."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from . import backbone_structure
from .packed_convolution import PackedArithmetic


class PackedBackbone(nn.Module):
    """[B, C, h, w] in channels_last to float32 [B, features], on the CPU, for inference only.

    A snapshot: weights changed later in the original do not reach it.
    """

    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN's ReLU makes 0 of NaN: an image with NaN in it must not get a sure answer by that.
        nan_if_odd = x.sum(dim=(1, 2, 3), dtype=torch.float32)[:, None] * 0
        return self._features(x).mean(dim=(2, 3), dtype=torch.float32) + nan_if_odd


def pack(backbone: nn.Module, dtype: torch.dtype = torch.float32) -> PackedBackbone:
    """``backbone`` (on the CPU) with batch norm folded and weights packed, in ``dtype``.

    Raises:
        TypeError: a backbone that :func:`.backbone_structure.is_known` does not know.
    """
    return PackedBackbone(backbone_structure.features(backbone, PackedArithmetic(dtype)))
