"""The location modules: how much each cell of an image or crop is worth a look."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..backbones.bagnet import SLOPE
from ..backbones.efficientnet import SqueezeExcite

NORM_EPS = 1e-6


class Mesh(nn.Module):
    """Two maps [n, n] that tell rows and columns apart: -1 to 1 down and across, each with a
    learned factor and offset."""

    def __init__(self) -> None:
        super().__init__()
        self.height = nn.Linear(1, 1)
        self.width = nn.Linear(1, 1)

    def forward(self, grid: Tensor) -> Tensor:
        """[N, 2, n, n] for a grid [N, C, n, n]."""
        n = grid.shape[-1]
        line = torch.linspace(-1, 1, n, dtype=grid.dtype, device=grid.device)
        down = self.height(line[:, None]).expand(n, n)
        across = self.width(line[:, None]).T.expand(n, n)
        return torch.stack([down, across]).expand(grid.shape[0], 2, n, n)


class ContextLocations(nn.Module):
    """The location module of the ImageNet network: scores [N, n * n] of the cells.

    Location features, the context vector at every cell, and the mesh, then a 1x1 convolution,
    leaky ReLU and a 1x1 convolution to one number a cell; see :func:`normalised`. Nothing passes
    a gradient to the backbone.

    Source: paper, section 4.1.
    """

    def __init__(self, grid_features: int, num_features: int) -> None:
        super().__init__()
        self.mesh = Mesh()
        self.conv = nn.Conv2d(grid_features + num_features + 2, num_features, 1)
        self.score = nn.Conv2d(num_features, 1, 1)
        nn.init.kaiming_normal_(self.conv.weight, a=SLOPE)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, grid: Tensor, context: Tensor) -> Tensor:
        grid, context = grid.detach(), context.detach()
        tiled = context[:, :, None, None].expand(-1, -1, *grid.shape[-2:])
        x = torch.cat([grid, tiled, self.mesh(grid)], dim=1)
        return normalised(self.score(F.leaky_relu(self.conv(x), SLOPE)))


class GatedLocations(nn.Module):
    """The location module of the EfficientNet networks: scores [N, n * n] of the cells.

    A 1x1 convolution of the location features and swish, squeeze and excite, the mesh, a 1x1
    convolution and swish, a 1x1 convolution to one number a cell; see :func:`normalised`. Nothing
    passes a gradient to the backbone.

    Source: paper, section 4.2; published code.
    """

    def __init__(self, grid_features: int, num_features: int) -> None:
        super().__init__()
        self.mesh = Mesh()
        self.conv1 = nn.Conv2d(grid_features, grid_features, 1)
        self.gate = SqueezeExcite(grid_features, grid_features // 2)
        self.conv2 = nn.Conv2d(grid_features + 2, grid_features, 1)
        self.score = nn.Conv2d(grid_features, 1, 1)

    def forward(self, grid: Tensor, context: Tensor) -> Tensor:
        x = self.gate(F.silu(self.conv1(grid.detach())))
        x = F.silu(self.conv2(torch.cat([x, self.mesh(grid)], dim=1)))
        return normalised(self.score(x))


def normalised(score: Tensor) -> Tensor:
    """Scores [N, 1, n, n] divided by their Euclidean norm over the grid, as [N, n * n]."""
    return F.normalize(score.flatten(1), eps=NORM_EPS)
