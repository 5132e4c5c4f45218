"""From what a crop shows and where it is to a feature, and from features to class logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LOWEST_FREQUENCY = 1 / 100


def position_encoding(position: Tensor, dim: int) -> Tensor:
    r"""Sines and cosines of grid positions (row, column, level), [N, 3] to [N, dim].

    With :math:`f = \lfloor dim / 6 \rfloor` frequencies :math:`\omega_i = 100^{-i / (f - 1)}`, for
    row, column and level p in turn: :math:`\sin(\omega_i p)` for all i, then
    :math:`\cos(\omega_i p)`; the rest are zeros.

    Args:
        position: of any dtype; the result has the default one, or float64.

    Source: published code; Vaswani et al. 2017 for the form.
    """
    count = dim // 6
    exponents = torch.arange(count, dtype=torch.float64, device=position.device)
    frequencies = LOWEST_FREQUENCY ** (exponents / max(count - 1, 1))
    angles = position.double()[:, :, None] * frequencies  # [N, 3, f]
    waves = torch.cat([angles.sin(), angles.cos()], dim=2).flatten(1)
    return F.pad(waves, (0, dim - waves.shape[1]))


class ConcatenatedPosition(nn.Module):
    """The feature of the ImageNet network: a linear layer of context and encoding side by side."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.linear = nn.Linear(2 * dim, dim)

    def forward(self, context: Tensor, position: Tensor) -> Tensor:
        """context [N, dim] and positions [N, 3] to features [N, dim]."""
        encoding = position_encoding(position, self.dim).to(context.dtype)
        out: Tensor = self.linear(torch.cat([context, encoding], dim=1))
        return out


class AddedPosition(nn.Module):
    """The feature of the EfficientNet networks: swish of context plus a linear layer of the
    encoding, which has a quarter of its width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim // 4
        self.linear = nn.Linear(self.dim, dim)

    def forward(self, context: Tensor, position: Tensor) -> Tensor:
        """context [N, dim] and positions [N, 3] to features [N, dim]."""
        encoding = position_encoding(position, self.dim).to(context.dtype)
        return F.silu(context + self.linear(encoding))


class ClassHead(nn.Module):
    """Class logits of one or several features of an image: a linear layer of their mean.

    Args:
        dim: C, number of features.
        num_classes: K.
        is_weighted: weight the features of an image instead: a gate from their mean, by two layers
            of C / 4 and C (swish, sigmoid), a linear layer of each gated feature to one number,
            softmax over the features. The features themselves are summed with these weights.
        dropout: before the linear layer, in training.
    """

    def __init__(self, dim: int, num_classes: int, is_weighted: bool, dropout: float) -> None:
        super().__init__()
        self.weighting = FeatureWeights(dim) if is_weighted else None
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(dim, num_classes)

    def forward(self, features: Tensor, count: Tensor | None = None) -> Tensor:
        """[B, R, C] to [B, K].

        Args:
            features: R features per image.
            count: int64 [B], at least 1: only so many first features of each image count.
                Default: all.
        """
        if self.weighting is not None:
            summed = (features * self.weighting(features, count)).sum(dim=1)
        else:
            summed = mean_of_first(features, count)
        return self.one(summed)

    def one(self, feature: Tensor) -> Tensor:
        """Logits [..., K] of single features [..., C]."""
        out: Tensor = self.fc(self.dropout(feature))
        return out


class FeatureWeights(nn.Module):
    """Weights [B, R, 1] of the features of an image, see :class:`ClassHead`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, dim // 4)
        self.expand = nn.Linear(dim // 4, dim)
        self.score = nn.Linear(dim, 1)

    def forward(self, features: Tensor, count: Tensor | None) -> Tensor:
        mean = mean_of_first(features, count)
        gate = self.expand(F.silu(self.reduce(mean))).sigmoid()
        score = self.score(features * gate[:, None])
        if count is not None:
            score = score.masked_fill(~is_first(features, count), -torch.inf)
        return score.softmax(dim=1)


def mean_of_first(features: Tensor, count: Tensor | None) -> Tensor:
    """Mean [B, C] of the first ``count`` features [B, R, C] of each image; None: of all."""
    if count is None:
        return features.mean(dim=1)
    kept = features.masked_fill(~is_first(features, count), 0.0)
    return kept.sum(dim=1) / count[:, None]


def is_first(features: Tensor, count: Tensor) -> Tensor:
    """Which of the features [B, R, C] are among the first ``count``: bool [B, R, 1]."""
    number = torch.arange(features.shape[1], device=features.device)
    return (number < count[:, None])[:, :, None]
