"""In which precision and memory layout the parts of a network want their inputs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn


def full_precision(device_type: str) -> AbstractContextManager[object]:
    """Switches autocast off inside, where it is on.

    A region rounded to bfloat16 moves by a pixel in 256, so nothing between the backbone's
    feature and the next glimpse may be lowered; it is a few per cent of the work.
    """
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()


def glimpse_memory_format(backbone: nn.Module) -> torch.memory_format:
    """channels_last if the backbone's convolutions are stored so, else contiguous.

    Looks at the first kernel whose layout is not ambiguous (one input channel or one pixel looks
    the same either way), at every call: a layout can change after construction.
    """
    for parameter in backbone.parameters():
        if parameter.dim() == 4 and parameter.shape[1] > 1 and parameter.shape[2:].numel() > 1:
            if parameter.is_contiguous(memory_format=torch.channels_last):
                return torch.channels_last
            break
    return torch.contiguous_format
