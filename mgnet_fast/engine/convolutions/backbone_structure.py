"""How this package's backbones are made of convolutions, independent of the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from torch import nn

from ...models.backbones.resnet import ResNet
from ...models.backbones.toy_cnn import ToyCNN
from .folded_convolution import FoldedConvolution

X = TypeVar("X")  # an activation


class Convolution(Protocol[X]):
    """``relu(conv(x) + other)``."""

    def __call__(self, x: X, other: X | None = None) -> X: ...


class Arithmetic(Protocol[X]):
    """Builds the parts of a backbone, always in the same order."""

    def convolution(self, folded: FoldedConvolution) -> Convolution[X]: ...

    def max_pool(self, x: X, kernel: int, stride: int, padding: int) -> X: ...


def is_known(backbone: nn.Module) -> bool:
    """Whether this module knows the structure of ``backbone``."""
    return isinstance(backbone, ResNet | ToyCNN)


def features(backbone: nn.Module, arithmetic: Arithmetic[X]) -> Callable[[X], X]:
    """All of ``backbone`` except the final average, computed by ``arithmetic``.

    Raises:
        TypeError: :func:`is_known` is False for the backbone.
    """
    if isinstance(backbone, ResNet):
        return _resnet(backbone, arithmetic)
    if isinstance(backbone, ToyCNN):
        return _toy(backbone, arithmetic)
    raise TypeError(f"backbone must be a ResNet or a ToyCNN, got {type(backbone).__name__}")


def _toy(backbone: ToyCNN, arithmetic: Arithmetic[X]) -> Callable[[X], X]:
    # Max-pooling commutes with ReLU, so the convolution can include the ReLU at no cost.
    *pooled, last = (
        arithmetic.convolution(FoldedConvolution.of(each))
        for each in (backbone.conv1, backbone.conv2, backbone.conv3, backbone.conv4)
    )

    def run(x: X) -> X:
        for convolution in pooled:
            x = arithmetic.max_pool(convolution(x), 2, 2, 0)
        return last(x)

    return run


def _resnet(backbone: ResNet, arithmetic: Arithmetic[X]) -> Callable[[X], X]:
    stem = arithmetic.convolution(FoldedConvolution.of(backbone.conv1, backbone.bn1))
    has_pool = isinstance(backbone.maxpool, nn.MaxPool2d)
    blocks = [
        _block(block, arithmetic)
        for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
        for block in layer
    ]

    def run(x: X) -> X:
        x = stem(x)
        if has_pool:
            x = arithmetic.max_pool(x, 3, 2, 1)
        for block in blocks:
            x = block(x)
        return x

    return run


def _block(block: nn.Module, arithmetic: Arithmetic[X]) -> Callable[[X], X]:
    """A basic or bottleneck block: a ReLU after each convolution, after the last with the sum."""
    *first, last = (
        arithmetic.convolution(
            FoldedConvolution.of(getattr(block, f"conv{k}"), getattr(block, f"bn{k}"))
        )
        for k in (1, 2, 3)
        if hasattr(block, f"conv{k}")
    )
    side = None
    if isinstance(block.downsample, nn.Sequential):
        side = arithmetic.convolution(FoldedConvolution.of(*block.downsample, relu=False))

    def run(x: X) -> X:
        out = x
        for convolution in first:
            out = convolution(out)
        # The sum may overwrite the shortcut, which is not read again.
        return last(out, x if side is None else side(x))

    return run
