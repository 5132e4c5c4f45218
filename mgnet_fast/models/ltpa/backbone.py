"""A backbone that attends to its own maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from .attention import Projected, Score, SpatialAttention


class MapNetwork(Protocol):
    """A network without its classifier that gives its maps, too.

    Attributes:
        map_dims: channels of each map, in the order of the network.
        num_features: length of the features.
    """

    map_dims: tuple[int, ...]
    num_features: int

    def maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps [B, ``map_dims``, h, w] and the features [B, ``num_features``]."""


class AttendingBackbone(nn.Module):
    """Attends to the last maps of a network, by its features.

    Args:
        network: see :class:`MapNetwork`.
        levels: how many maps, the last ones; 0: the features themselves are the result.
        score, project: see :class:`SpatialAttention`. Only where widths differ is anything
            projected.

    Attributes:
        dims: length of the attended vector of each level, or of the features without levels.
        num_features: the sum of ``dims``.

    Raises:
        ValueError: the network has fewer maps.
    """

    def __init__(
        self, network: nn.Module, levels: int, score: Score = "pc", project: Projected = "local"
    ) -> None:
        super().__init__()
        source = cast(MapNetwork, network)
        widths, features = source.map_dims, source.num_features
        if levels > len(widths):
            raise ValueError(
                f"levels must be at most {len(widths)}, the number of maps of "
                f"{type(network).__name__}, got {levels}"
            )
        self.network = network
        attention = [
            SpatialAttention(width, features, score, None if width == features else project)
            for width in widths[len(widths) - levels :]
        ]
        self.attention = nn.ModuleList(attention)
        self.dims: tuple[int, ...] = tuple(each.dim for each in attention) or (features,)
        self.num_features = sum(self.dims)

    def forward(self, x: Tensor) -> Tensor:
        """The vectors of all levels side by side, [B, num_features], of images [B, C, H, W]."""
        return self.attend(x)[0]

    def attend(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """:meth:`forward`, and the weights [B, h, w] of the positions of each level."""
        maps, features = cast(MapNetwork, self.network).maps(x)
        if not len(self.attention):
            return features, []
        attended = [
            attention(local, features)
            for attention, local in zip(
                self.attention, maps[len(maps) - len(self.attention) :], strict=True
            )
        ]
        return torch.cat([vector for vector, _ in attended], 1), [map_ for _, map_ in attended]


class LevelHeads(nn.Module):
    r"""Classifies the vector of each level alone and averages the probabilities.

    .. math:: logits = \log \frac1L \sum_l softmax(W_l g^a_l + b_l)
    """

    def __init__(self, dims: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.levels = nn.ModuleList(nn.Linear(dim, num_classes) for dim in dims)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, K] of the vectors of all levels side by side, [B, sum of ``dims``]."""
        logs = [
            level(vector).log_softmax(1)
            for level, vector in zip(self.levels, x.split(self.dims, 1), strict=True)
        ]
        means: Tensor = torch.stack(logs).logsumexp(0) - torch.tensor(len(logs)).log().to(x)
        return means
