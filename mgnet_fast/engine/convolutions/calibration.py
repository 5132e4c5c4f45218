"""What a network computes on sample images: the ranges that 8-bit integers are fitted to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models import GlimpseNetwork
from ..runners.eager import runner_of
from ..schedule.every_glimpse import every_glimpse
from . import backbone_structure
from .activation_range import ActivationRange
from .folded_convolution import FoldedConvolution
from .plain_convolution import PlainArithmetic, PlainConvolution

_ROWS = 32  # images in flight while ranges are collected


def activation_ranges(model: GlimpseNetwork, batches: Iterable[Tensor]) -> list[ActivationRange]:
    """The range of every convolution's result over all glimpses of all images, in float32.

    Args:
        model: its backbone is one that :func:`.backbone_structure.is_known` knows.
        batches: images [B, C, H, W].

    Returns:
        One for each convolution, in the order in which the structure asks for them.
    """
    ready = copy.deepcopy(model).float().eval().cpu()
    collecting = _Collecting()
    ready.backbone = _Averaged(backbone_structure.features(ready.backbone, collecting))
    runner = runner_of(ready, memory_format=torch.channels_last)
    for batch in batches:
        every_glimpse(runner, batch, _ROWS)
    return collecting.ranges


class _Collecting:
    """Plain arithmetic that looks at every result."""

    def __init__(self) -> None:
        self.ranges: list[ActivationRange] = []
        self._plain = PlainArithmetic(torch.float32, torch.channels_last)

    def convolution(self, folded: FoldedConvolution) -> Callable[..., Tensor]:
        convolution: PlainConvolution = self._plain.convolution(folded)
        collected = ActivationRange()
        self.ranges.append(collected)

        def run(x: Tensor, other: Tensor | None = None) -> Tensor:
            out = convolution(x, other)
            collected.add(out)
            return out

        return run

    def max_pool(self, x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        return F.max_pool2d(x, kernel, stride, padding)


class _Averaged(nn.Module):
    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        return self._features(x).mean(dim=(2, 3))
