"""BagNet-77: a residual network whose features each see 77 pixels, without normalisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .same_padding import Padding, SameConv2d

SLOPE = 0.2  # of the leaky ReLU

# Per stage: width, then (kernel, stride, whether padded) of each block's middle convolution.
_STAGES: tuple[tuple[int, tuple[tuple[int, int, bool], ...]], ...] = (
    (64, ((3, 2, True), (3, 1, True), (1, 1, True))),
    (128, ((3, 2, True), (3, 1, True), (1, 1, True), (1, 1, True))),
    (256, ((3, 2, False), (3, 1, True), *[(1, 1, True)] * 4)),
    (512, ((3, 1, False), (3, 1, True), (1, 1, True))),
)
_EXPANSION = 4


class _Block(nn.Module):
    """Convolutions 1x1, kxk and 1x1, and a shortcut."""

    def __init__(
        self, in_width: int, width: int, kernel: int, stride: int, is_padded: bool, padding: Padding
    ) -> None:
        super().__init__()
        out_width = width * _EXPANSION
        self.conv1 = nn.Conv2d(in_width, width, 1)
        if is_padded:
            self.conv2: nn.Conv2d = SameConv2d(width, width, kernel, stride, padding=padding)
        else:
            self.conv2 = nn.Conv2d(width, width, kernel, stride)
        self.conv3 = nn.Conv2d(width, out_width, 1)
        self.shortcut = None
        if stride > 1 or in_width != out_width:
            self.shortcut = nn.Conv2d(in_width, out_width, 1, stride)
        self.crop = 0 if is_padded else kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        out = F.leaky_relu(self.conv1(x), SLOPE)
        out = F.leaky_relu(self.conv2(out), SLOPE)
        out = self.conv3(out)
        if self.crop:
            x = x[..., self.crop : -self.crop, self.crop : -self.crop]
        return F.leaky_relu(out + (x if self.shortcut is None else self.shortcut(x)), SLOPE)


class BagNet77(nn.Module):
    """[B, C, h, w] to [B, 512]: the global average of features that see 77 x 77 pixels each.

    A 3x3 convolution without padding, four stages of bottleneck blocks, a 1x1 convolution; leaky
    ReLU of slope 0.2, biases, no normalisation. He's initialisation, zero biases.

    Args:
        in_chans: number of input channels.
        padding: of the convolutions with stride 2, see :data:`.same_padding.Padding`. The
            published networks have TensorFlow's.
        map_dropout: share of the last feature maps that are set to 0, in training.

    Source: TNet paper (arXiv 2102.10212), section 4.1; Brendel and Bethge 2019 for the kind of
    network.
    """

    num_features = 512
    grid_features = 1024

    def __init__(
        self, in_chans: int = 3, padding: Padding = "tensorflow", map_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 64, 3)
        in_width = 64
        stages = []
        for width, blocks in _STAGES:
            stage = []
            for kernel, stride, is_padded in blocks:
                stage.append(_Block(in_width, width, kernel, stride, is_padded, padding))
                in_width = width * _EXPANSION
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)
        self.conv_last = nn.Conv2d(in_width, self.num_features, 1)
        self.dropout = nn.Dropout2d(map_dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=SLOPE)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.with_grid(x)[1]

    def with_grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a grid of locations, and of the whole: [B, 1024, n, n] and [B, 512].

        The grid is every second position of the third stage; 5 x 5 at 77 pixels.
        """
        x = F.leaky_relu(self.conv1(x), SLOPE)
        for stage in self.stages[:-1]:
            x = stage(x)
        grid = x[..., ::2, ::2]
        x = F.leaky_relu(self.conv_last(self.stages[-1](x)), SLOPE)
        return grid, torch.flatten(F.adaptive_avg_pool2d(self.dropout(x), 1), 1)
