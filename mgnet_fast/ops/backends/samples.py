"""The tensor that a forward kernel writes its samples to."""

from __future__ import annotations

import torch
from torch import Tensor

# By the names that op schemas carry: plain strings, so that any tracer takes them.
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


def empty_samples(
    image: Tensor, count: int, height: int, width: int, out_dtype: str, channels_last: bool
) -> Tensor:
    """Uninitialised samples [count, C, height, width] of ``image`` [B, C, H, W]."""
    shape, dtype = (count, image.shape[1], height, width), DTYPES[out_dtype]
    if channels_last:
        return torch.empty(
            shape, dtype=dtype, device=image.device, memory_format=torch.channels_last
        )
    return image.new_empty(shape, dtype=dtype)  # the quicker way
