"""The toy CNN with a grid of location features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .toy_cnn import ToyCNN


class ToyGrid(ToyCNN):
    """A :class:`ToyCNN` whose last feature map is also the grid: [B, 128, n, n].

    n is a third of a quarter of the glimpse's side, about: 6 at 56 pixels, 3 at 28.
    """

    grid_features = ToyCNN.num_features

    def with_grid(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Location features [B, 128, n, n] and their mean [B, 128]."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = F.relu(F.max_pool2d(conv(x), 2))
        grid = F.relu(self.conv4(x))
        return grid, torch.flatten(self.avgpool(grid), 1)
