"""The four-layer CNN of the translated MNIST experiments (paper, appendix B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ToyCNN(nn.Module):
    """Four convolutions with biases and without normalisation, then a global average pool.

    ``conv(C->16, 5x5, no padding)``, ``conv(16->32, 5x5, padding 2)``, ``conv(32->64, 3x3,
    padding 1)``, each followed by ReLU and a 2x2 max-pool, then ``conv(64->128, 3x3, padding 1)``
    and ReLU. PyTorch's default initialisation.

    Shapes: [B, C, h, w] with h, w >= 12 to [B, 128].

    Source: paper, appendix B (translated MNIST).
    """

    num_features = 128

    def __init__(self, in_chans: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chans, 16, 5)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.conv3 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv4 = nn.Conv2d(64, 128, 3, padding=1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv1, self.conv2, self.conv3):
            # ReLU commutes with max, and after the pool it has a quarter of the data.
            x = F.relu(F.max_pool2d(conv(x), 2))
        x = F.relu(self.conv4(x))
        return torch.flatten(self.avgpool(x), 1)
