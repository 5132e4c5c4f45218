"""Records the results of a network on sample images, to set the ranges of 8-bit integers."""

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

_ROWS = 32  # images in flight during calibration


def activation_ranges(model: GlimpseNetwork, batches: Iterable[Tensor]) -> list[ActivationRange]:
    """The range of every convolution's result over all glimpses of all images, in float32.

    Args:
        model: a network whose backbone is known to :mod:`.backbone_structure`.
        batches: images [B, C, H, W].

    Returns:
        One range per convolution, in the order of the structure.
    """
    ready = copy.deepcopy(model).float().eval().cpu()
    collecting = _Collecting()
    ready.backbone = _Averaged(backbone_structure.features(ready.backbone, collecting))
    runner = runner_of(ready, memory_format=torch.channels_last)
    for batch in batches:
        every_glimpse(runner, batch, _ROWS)
    return collecting.ranges


class _Collecting:
    """Plain arithmetic that records every result."""

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
