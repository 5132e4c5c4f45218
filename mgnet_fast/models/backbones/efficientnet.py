"""EfficientNet-B0 to B5."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .same_padding import Padding, SameConv2d

EPS = 1e-3  # of the batch norms
_DIVISOR = 8
_SCALING = {
    "b0": (1.0, 1.0),
    "b1": (1.0, 1.1),
    "b2": (1.1, 1.2),
    "b3": (1.2, 1.4),
    "b4": (1.4, 1.8),
    "b5": (1.6, 2.2),
}
"""Factors on width and depth."""

# Per stage: kernel, blocks, width, expansion, stride of the first block.
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)


class GridSource(NamedTuple):
    """Which feature map gives the grid of locations: positions ``first``, ``first + step``, ...
    before ``end``, on both axes, of the map after a block; stages and blocks count from 0."""

    stage: int
    block: int
    first: int
    end: int | None
    step: int


class _ConvNorm(nn.Module):
    """Convolution and batch norm."""

    def __init__(
        self,
        in_width: int,
        out_width: int,
        kernel: int,
        stride: int,
        padding: Padding,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = SameConv2d(
            in_width, out_width, kernel, stride, padding=padding, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(out_width, eps=EPS, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out


class SqueezeExcite(nn.Module):
    """Channels times a gate: two 1x1 layers of the global average, swish and sigmoid.

    Source: Hu et al. 2017.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, inner, 1)
        self.expand = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = F.adaptive_avg_pool2d(x, 1)
        return x * self.expand(F.silu(self.reduce(mean))).sigmoid()


class _Block(nn.Module):
    """Expansion, depthwise convolution, squeeze and excite, projection; a shortcut if it fits."""

    def __init__(
        self,
        in_width: int,
        width: int,
        kernel: int,
        stride: int,
        expansion: int,
        drop: float,
        padding: Padding,
    ) -> None:
        super().__init__()
        inner = in_width * expansion
        self.expand = _ConvNorm(in_width, inner, 1, 1, padding) if expansion > 1 else None
        self.depthwise = _ConvNorm(inner, inner, kernel, stride, padding, groups=inner)
        self.gate = SqueezeExcite(inner, max(1, in_width // 4))
        self.project = _ConvNorm(inner, width, 1, 1, padding)
        self.has_shortcut = stride == 1 and in_width == width
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        out = x if self.expand is None else F.silu(self.expand(x))
        out = self.gate(F.silu(self.depthwise(out)))
        out = self.project(out)
        if not self.has_shortcut:
            return out
        return x + dropped_rows(out, self.drop, self.training)


class EfficientNet(nn.Module):
    """[B, C, h, w] to [B, num_features]: an EfficientNet without its classifier.

    Args:
        variant: "b0" to "b5".
        in_chans: number of input channels.
        padding: of the convolutions with stride 2, see :data:`.same_padding.Padding`. The
            published networks have TensorFlow's.
        grid: where :meth:`with_grid` takes its locations from; None: it is not there.
        drop: largest probability of stochastic depth (Huang et al. 2016); it grows linearly from
            0 with the number of the block.

    Source: Tan and Le 2019.

    Raises:
        ValueError: ``variant`` is unknown.
    """

    def __init__(
        self,
        variant: str = "b0",
        in_chans: int = 3,
        padding: Padding = "tensorflow",
        grid: GridSource | None = None,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        if variant not in _SCALING:
            raise ValueError(f"variant must be one of {', '.join(_SCALING)}, got {variant!r}")
        by_width, by_depth = _SCALING[variant]
        in_width = rounded_width(32 * by_width)
        self.stem = _ConvNorm(in_chans, in_width, 3, 2, padding)
        depths = [math.ceil(blocks * by_depth) for _, blocks, *_ in _STAGES]
        done = 0
        stages = []
        for depth, (kernel, _, width, expansion, stride) in zip(depths, _STAGES, strict=True):
            out_width = rounded_width(width * by_width)
            stage = []
            for block in range(depth):
                step = stride if block == 0 else 1
                share = drop * done / sum(depths)
                stage.append(_Block(in_width, out_width, kernel, step, expansion, share, padding))
                in_width, done = out_width, done + 1
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)
        self.num_features = rounded_width(1280 * by_width)
        self.top = _ConvNorm(in_width, self.num_features, 1, 1, padding)
        self.grid = grid
        self.grid_features = 0
        if grid is not None:
            self.grid_features = rounded_width(_STAGES[grid.stage][2] * by_width)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        return self._whole(x)

    def with_grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a grid of locations [B, grid_features, n, n], and of the whole
        [B, num_features]."""
        assert self.grid is not None, "this EfficientNet was made without a grid"
        stage_number, block_number, first, end, step = self.grid
        grid = x
        x = F.silu(self.stem(x))
        for number, stage in enumerate(self.stages):
            for block, layer in enumerate(_blocks(stage)):
                x = layer(x)
                if (number, block) == (stage_number, block_number):
                    grid = x[..., first:end:step, first:end:step]
        return grid, self._whole(x)

    def _whole(self, x: Tensor) -> Tensor:
        return torch.flatten(F.adaptive_avg_pool2d(F.silu(self.top(x)), 1), 1)


def rounded_width(width: float) -> int:
    """The nearest multiple of 8 that keeps at least 90 % of ``width``."""
    rounded = max(_DIVISOR, int(width + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return rounded + _DIVISOR if rounded < 0.9 * width else rounded


def dropped_rows(x: Tensor, share: float, is_training: bool) -> Tensor:
    """In training each row [B, ...] is 0 with probability ``share``, else scaled by its inverse."""
    if not is_training or share == 0.0:
        return x
    keep = torch.rand(len(x), *[1] * (x.dim() - 1), device=x.device) >= share
    return x * keep / (1.0 - share)


def _blocks(stage: nn.Module) -> Sequence[nn.Module]:
    return list(stage.children())
