"""A small network like MobileNet and EfficientNet: no runner knows its structure."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SqueezeAndExcite(nn.Module):
    """Scales each channel by a number that depends on all of them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.excite(nn.functional.silu(self.squeeze(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(scale)


class InvertedResidual(nn.Module):
    """1 x 1 to four times the channels, depthwise 3 x 3, squeeze and excite, 1 x 1 back."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        wide = 4 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.SiLU(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.Hardswish(),
            SqueezeAndExcite(wide),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.has_shortcut = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.has_shortcut else self.layers(x)


class InvertedResiduals(nn.Module):
    """Maps [B, in_chans, h, w] to [B, 16]; its batch norms have seen noise."""

    num_features = 16

    def __init__(self, in_chans: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_chans, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            InvertedResidual(8, 16, 2),
            InvertedResidual(16, 16, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        norms = [each for each in self.modules() if isinstance(each, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            self(torch.randn(16, in_chans, 32, 32))

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features
