"""Residual networks for images of 32 pixels, with norm and ReLU before each convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEM_WIDTH = 16
STAGE_WIDTHS = (64, 128, 256)
_LAYERS_OF_A_BLOCK = 3


class _Bottleneck(nn.Module):
    """Convolutions 1x1 (with the stride), 3x3 and 1x1, and a shortcut.

    Where the width changes, the shortcut is a convolution and starts after the first norm.
    """

    def __init__(self, in_width: int, width: int, stride: int) -> None:
        super().__init__()
        inner = width // 4
        self.bn1 = nn.BatchNorm2d(in_width)
        self.conv1 = nn.Conv2d(in_width, inner, 1, stride, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        self.shortcut = (
            None if in_width == width else nn.Conv2d(in_width, width, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(x))
        kept = x if self.shortcut is None else self.shortcut(out)
        out = self.conv2(F.relu(self.bn2(self.conv1(out))))
        return kept + self.conv3(F.relu(self.bn3(out)))


class PreActResNet(nn.Module):
    """A residual network without its classifier: [B, C, h, w] to [B, 256], with h, w >= 8.

    Three stages of (depth - 2) / 9 blocks at 1, 1/2 and 1/4 of the image's size. The features are
    those of the published attention network: norm and ReLU, a 2x2 max-pool, a 3x3 convolution with
    norm and ReLU, the maximum over all positions, and a linear layer. Its dropout is left out.

    Args:
        depth: 9 n + 2: 164 in the paper.
        in_chans: C.

    Attributes:
        num_features: 256.
        map_dims: channels after each of the three stages.

    Raises:
        ValueError: there is no network of this depth.

    Source: He et al., "Identity mappings in deep residual networks", 2016; Jetley et al., "Learn to
    pay attention", 2018, section 4, and their published code.
    """

    def __init__(self, depth: int = 164, in_chans: int = 3) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 2, len(STAGE_WIDTHS) * _LAYERS_OF_A_BLOCK)
        if rest or blocks < 1:
            raise ValueError(f"depth must be 9 n + 2, such as 164, got {depth}")
        self.map_dims: tuple[int, ...] = STAGE_WIDTHS
        self.num_features: int = STAGE_WIDTHS[-1]
        self.conv1 = nn.Conv2d(in_chans, STEM_WIDTH, 3, padding=1, bias=False)
        self.stages = nn.ModuleList()
        before = STEM_WIDTH
        for stage, width in enumerate(STAGE_WIDTHS):
            first = _Bottleneck(before, width, 2 if stage else 1)
            others = (_Bottleneck(width, width, 1) for _ in range(blocks - 1))
            self.stages.append(nn.Sequential(first, *others))
            before = width
        self.norm = nn.BatchNorm2d(before)
        self.global_conv = nn.Conv2d(before, before, 3, padding=1, bias=False)
        self.global_norm = nn.BatchNorm2d(before)
        self.global_fc = nn.Linear(before, before)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """The features [B, 256] of images [B, C, h, w]."""
        return self.maps(x)[1]

    def maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps [B, ``map_dims``, h, w] after each of the three stages, and the features."""
        x = self.conv1(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        out = F.max_pool2d(F.relu(self.norm(x)), 2)
        out = F.relu(self.global_norm(self.global_conv(out)))
        return found, self.global_fc(torch.amax(out, dim=(2, 3)))
