"""Maps in every layout, queries and incoming gradients, and the float64 answer to them."""

from __future__ import annotations

import torch
from torch import Tensor

from mgnet_fast.ops.attention.attention_pool import attention_pool_reference


def contiguous(local: Tensor) -> Tensor:
    return local


def channels_last(local: Tensor) -> Tensor:
    return local.to(memory_format=torch.channels_last)


def cut_from_more_channels(local: Tensor) -> Tensor:
    more = local.new_full((len(local) + 1, local.shape[1] + 3, *local.shape[2:]), torch.nan)
    more[1:, 2:-1] = local
    return more[1:, 2:-1]


def cut_from_more_channels_last(local: Tensor) -> Tensor:
    more = local.new_full((len(local), *local.shape[2:], local.shape[1] + 3), torch.nan)
    more[..., 2:-1] = local.permute(0, 2, 3, 1)
    return more[..., 2:-1].permute(0, 3, 1, 2)


LAYOUTS = [contiguous, channels_last, cut_from_more_channels, cut_from_more_channels_last]
# Positions and channels around the lanes of every set, and around the widest tile of sums.
SHAPES = [(1, 1, 1, 1), (2, 3, 1, 7), (3, 16, 7, 1), (2, 37, 5, 5), (1, 300, 17, 19)]


def problem(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Map, query, and the gradients of the pooled vector and of the weights."""
    generator = torch.Generator().manual_seed(sum(shape))
    batch, channels, height, width = shape
    local = torch.randn(shape, generator=generator)
    query = 3 * torch.randn(batch, channels, generator=generator) / channels**0.5
    from_pooled = torch.randn(batch, channels, generator=generator)
    from_weights = torch.randn(batch, height, width, generator=generator)
    return local, query, from_pooled, from_weights


def exact(local: Tensor, query: Tensor, *grads: Tensor) -> tuple[Tensor, ...]:
    """Results and gradients in float64."""
    inputs = [each.detach().double().requires_grad_() for each in (local, query)]
    found = attention_pool_reference(*inputs)
    return *found, *torch.autograd.grad(found, inputs, [each.double() for each in grads])


def unit_of_slopes(from_pooled: Tensor) -> float:
    """The size of the terms of a gradient: slopes by a query of norm 3, and the incoming."""
    return 9 * float(from_pooled.norm(dim=1).max()) + 9
