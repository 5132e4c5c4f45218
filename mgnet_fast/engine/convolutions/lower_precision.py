"""Backbones in bfloat16 or float16 with PyTorch's own operators, on any device."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from . import backbone_structure
from .plain_convolution import PlainArithmetic

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class FoldedBackbone(nn.Module):
    """[B, C, h, w] to float32 [B, features], for inference only."""

    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        return self._features(x).mean(dim=(2, 3), dtype=torch.float32)


def lowered(backbone: nn.Module, dtype: torch.dtype, layout: torch.memory_format) -> nn.Module:
    """``backbone`` in ``dtype`` on its device, with weights in ``layout``.

    If the structure is known, batch norm is folded in float64 before the weights are rounded. Other
    backbones are cast as they are.
    """
    if backbone_structure.is_known(backbone):
        return FoldedBackbone(backbone_structure.features(backbone, PlainArithmetic(dtype, layout)))
    return copy.deepcopy(backbone).to(dtype).to(memory_format=layout)  # type: ignore[call-overload, no-any-return]
