"""The memory layout in which a backbone wants its glimpses."""

from __future__ import annotations

import torch
from torch import nn


def glimpse_memory_format(backbone: nn.Module) -> torch.memory_format:
    """channels_last if the backbone's convolution kernels are, else contiguous.

    Decided by the first kernel with more than one input channel and more than one pixel, since
    others are both. Decided at every call, since a layout can change after construction.
    """
    for parameter in backbone.parameters():
        if parameter.dim() == 4 and parameter.shape[1] > 1 and parameter.shape[2:].numel() > 1:
            if parameter.is_contiguous(memory_format=torch.channels_last):
                return torch.channels_last
            break
    return torch.contiguous_format
