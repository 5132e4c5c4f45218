"""A backbone that also tells what is where."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

PIXELS_AT_ONCE = 224 * 224
"""On a CPU, glimpses go through the backbone in portions of about so many pixels. Larger ones are
not faster: their maps leave the caches. And memory grows with them."""


class LocatedBackbone(nn.Module):
    """A network's context vector and its grid of location features side by side, in one tensor.

    [N, C, h, w] to [N, dim], dim = num_features + grid_features * n * n, so that a TNet's backbone
    is like any other.

    Args:
        network: has ints ``num_features`` and ``grid_features``, and a method ``with_grid`` that
            maps glimpses to location features [N, grid_features, n, n] and a context vector
            [N, num_features].

    Raises:
        TypeError: it has none of these.
    """

    network: Any

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name in ("with_grid", "num_features", "grid_features"):
            if not hasattr(network, name):
                raise TypeError(
                    "a TNet's backbone must have with_grid, num_features and grid_features, got "
                    f"{type(network).__name__} without {name}"
                )
        self.network = network
        self.num_features: int = self.network.num_features
        self.grid_features: int = self.network.grid_features

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or self.training or torch.compiler.is_compiling():
            return self._features(x)
        rows = self.rows_at_once(x)
        if rows >= len(x):
            return self._features(x)
        return torch.cat([self._features(part) for part in x.split(rows)])

    @staticmethod
    def rows_at_once(x: Tensor, threads: int | None = None) -> int:
        """How many of the glimpses [N, C, h, w] to run at a time: at least one per thread.

        All of them on a GPU.

        Args:
            x: the glimpses.
            threads: default: torch's.
        """
        if x.device.type != "cpu":
            return len(x)
        pixels = x.shape[2] * x.shape[3]
        return max(PIXELS_AT_ONCE // pixels, threads or torch.get_num_threads())

    def context_of(self, features: Tensor) -> Tensor:
        """The context vector [N, num_features] in what ``forward`` returned."""
        return features[:, : self.num_features]

    def grid_of(self, features: Tensor, n: int) -> Tensor:
        """The location features [N, grid_features, n, n] in what ``forward`` returned.

        Raises:
            ValueError: the network's grid has another size.
        """
        flat = features[:, self.num_features :]
        if flat.shape[1] != self.grid_features * n * n:
            raise ValueError(
                f"the backbone must give location features [{self.grid_features}, {n}, {n}], got "
                f"{flat.shape[1]} numbers"
            )
        return flat.unflatten(1, (self.grid_features, n, n))

    def _features(self, x: Tensor) -> Tensor:
        grid, context = self.network.with_grid(x)
        return torch.cat([context, grid.flatten(1)], dim=1)
