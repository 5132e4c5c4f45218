"""The backbones of this package with packed weights: the same features, without the repacking."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from ..models.resnet import ResNet
from ..models.toy_cnn import ToyCNN
from .packed_convolution import PackedConvolution


class PackedBackbone(nn.Module):
    """[B, C, h, w] in channels_last to [B, features], in float32 on the CPU, for inference only.

    A snapshot: weights changed later in the original do not reach it.
    """

    def __init__(self, features: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._features = features

    def forward(self, x: Tensor) -> Tensor:
        # oneDNN's ReLU makes 0 of NaN: an image with NaN in it must not get a sure answer by that.
        nan_if_odd = x.sum(dim=(1, 2, 3))[:, None] * 0
        return self._features(x).mean(dim=(2, 3)) + nan_if_odd


def can_pack(backbone: nn.Module) -> bool:
    """Whether the structure of ``backbone`` is known here."""
    return isinstance(backbone, ResNet | ToyCNN)


def pack(backbone: nn.Module) -> PackedBackbone:
    """``backbone`` (float32, on the CPU) with batch norm folded and weights packed.

    Raises:
        TypeError: a backbone that :func:`can_pack` does not know.
    """
    if isinstance(backbone, ResNet):
        return PackedBackbone(_resnet(backbone))
    if isinstance(backbone, ToyCNN):
        return PackedBackbone(_toy(backbone))
    raise TypeError(f"backbone must be a ResNet or a ToyCNN, got {type(backbone).__name__}")


def _toy(backbone: ToyCNN) -> Callable[[Tensor], Tensor]:
    # Max commutes with ReLU, so ReLU may come with the convolution, where it is free.
    pooled = [PackedConvolution(each) for each in (backbone.conv1, backbone.conv2, backbone.conv3)]
    last = PackedConvolution(backbone.conv4)

    def features(x: Tensor) -> Tensor:
        for convolution in pooled:
            x = F.max_pool2d(convolution(x), 2)
        return last(x)

    return features


def _resnet(backbone: ResNet) -> Callable[[Tensor], Tensor]:
    stem = PackedConvolution(backbone.conv1, backbone.bn1)
    blocks = [
        _block(block)
        for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
        for block in layer
    ]

    def features(x: Tensor) -> Tensor:
        x = backbone.maxpool(stem(x))
        for block in blocks:
            x = block(x)
        return x

    return features


def _block(block: nn.Module) -> Callable[[Tensor], Tensor]:
    """Basic or bottleneck: all convolutions but the last with a ReLU, the last after the sum."""
    pairs = [
        (getattr(block, f"conv{k}"), getattr(block, f"bn{k}"))
        for k in (1, 2, 3)
        if hasattr(block, f"conv{k}")
    ]
    convolutions = [PackedConvolution(convolution, norm) for convolution, norm in pairs]
    *first, last = convolutions
    side = None
    if isinstance(block.downsample, nn.Sequential):
        side = PackedConvolution(*block.downsample, relu=False)

    def run(x: Tensor) -> Tensor:
        out = x
        for convolution in first:
            out = convolution(out)
        return last(out, x if side is None else side(x))

    return run
