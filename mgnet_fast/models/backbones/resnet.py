"""Residual networks with torchvision's parameter names, initialisation and arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class _Shape:
    """The numbers in which residual networks differ."""

    blocks: tuple[int, int, int, int]
    is_bottleneck: bool
    groups: int = 1
    width_per_group: int = 64


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, in_width: int, width: int, stride: int, shape: _Shape) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_width, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(in_width, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        out = out + (x if self.downsample is None else self.downsample(x))
        return F.relu(out, inplace=True)


class _Bottleneck(nn.Module):
    """Convolutions 1x1, 3x3 (with the stride and the groups) and 1x1, and a shortcut."""

    expansion = 4

    def __init__(self, in_width: int, width: int, stride: int, shape: _Shape) -> None:
        super().__init__()
        inner = width * shape.width_per_group // 64 * shape.groups
        out_width = width * self.expansion
        self.conv1 = nn.Conv2d(in_width, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=shape.groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, out_width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_width)
        self.downsample = _shortcut(in_width, out_width, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = F.relu(self.bn2(self.conv2(out)), inplace=True)
        out = self.bn3(self.conv3(out))
        out = out + (x if self.downsample is None else self.downsample(x))
        return F.relu(out, inplace=True)


class ResNet(nn.Module):
    """A residual network without its classifier: [B, C, h, w] to [B, num_features].

    Parameter names and initialisation are torchvision's, so its weights can be loaded.

    Args:
        shape: numbers of blocks, kind of block, groups and width.
        in_chans: number of input channels.
        stem_pool: whether the 3x3/2 max-pool follows the 7x7/2 convolution of the stem. Small
            images (Tiny ImageNet) do better without it.

    Attributes:
        num_features: length of the features.
        map_dims: channels after each of the four stages.

    Source: He et al. 2015; Xie et al. 2016; Zagoruyko and Komodakis 2016.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, shape: _Shape, in_chans: int = 3, stem_pool: bool = True) -> None:
        super().__init__()
        block = _Bottleneck if shape.is_bottleneck else _BasicBlock
        self.conv1 = nn.Conv2d(in_chans, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if stem_pool else nn.Identity()
        in_width = 64
        for stage, count in enumerate(shape.blocks):
            width = 64 * 2**stage
            blocks = []
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(in_width, width, stride, shape))
                in_width = width * block.expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.num_features = in_width
        self.map_dims = tuple(64 * 2**stage * block.expansion for stage in range(4))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        # Not by maps(), which keeps every map in memory until the last is done.
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return torch.flatten(self.avgpool(x), 1)

    def maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps [B, ``map_dims``, h, w] after each of the four stages, and the features."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        found = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            found.append(x)
        return found, torch.flatten(self.avgpool(x), 1)


def resnet18(in_chans: int = 3, stem_pool: bool = True) -> ResNet:
    """ResNet-18: 512 features."""
    return ResNet(_Shape((2, 2, 2, 2), False), in_chans, stem_pool)


def resnet34(in_chans: int = 3, stem_pool: bool = True) -> ResNet:
    """ResNet-34: 512 features."""
    return ResNet(_Shape((3, 4, 6, 3), False), in_chans, stem_pool)


def resnet50(in_chans: int = 3, stem_pool: bool = True) -> ResNet:
    """ResNet-50 with the stride in the 3x3 convolution, as in torchvision: 2048 features."""
    return ResNet(_Shape((3, 4, 6, 3), True), in_chans, stem_pool)


def resnext50_32x4d(in_chans: int = 3, stem_pool: bool = True) -> ResNet:
    """ResNeXt-50 32x4d: 2048 features."""
    return ResNet(_Shape((3, 4, 6, 3), True, groups=32, width_per_group=4), in_chans, stem_pool)


def wide_resnet50_2(in_chans: int = 3, stem_pool: bool = True) -> ResNet:
    """Wide ResNet-50-2: 2048 features."""
    return ResNet(_Shape((3, 4, 6, 3), True, width_per_group=128), in_chans, stem_pool)


def _shortcut(in_width: int, out_width: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and in_width == out_width:
        return None
    return nn.Sequential(
        nn.Conv2d(in_width, out_width, 1, stride, bias=False), nn.BatchNorm2d(out_width)
    )
