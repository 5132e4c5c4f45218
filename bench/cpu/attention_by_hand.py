"""The attention pool as its users write it, and the shapes of its benchmarks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHAPES = ((32, 512, 16, 16), (32, 256, 32, 32), (1, 512, 16, 16))
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
GOAL = 1.5  # forward and backward of a batch, against the paper's formulas


def as_written(local: Tensor, feature: Tensor, u: Tensor) -> Tensor:
    """The paper's formulas, one PyTorch operation for each."""
    scores = F.conv2d(local + feature[:, :, None, None], u.view(1, -1, 1, 1))
    weights = scores.flatten(2).softmax(2).view_as(scores)
    return (weights * local).sum((2, 3))


def two_products(local: Tensor, feature: Tensor, u: Tensor) -> Tensor:
    """The same as two batched products, without what the softmax takes away."""
    vectors = local.flatten(2)
    weights = torch.bmm(u.expand(len(local), 1, -1), vectors).softmax(2)
    return torch.bmm(vectors, weights.transpose(1, 2)).squeeze(2)


PEERS = {"the paper's formulas, eager": as_written, "two batched products, eager": two_products}


def case_name(shape: tuple[int, ...], layout: str) -> str:
    return f"{shape}, {layout}".replace(" ", "")


def goal(peer: str, batch: int, *, with_gradients: bool) -> float | None:
    return GOAL if with_gradients and PEERS[peer] is as_written and batch > 1 else None
