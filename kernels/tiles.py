"""How glimpses and images are cut into tiles, one a program: a fixed choice by shape.

A tile is 512 values in 4 warps, four a thread: enough loads in flight to hide memory, and few
enough registers that nothing spills. Its rows are as long as a warp, so that 96 and 224 columns
leave no lane idle.

Planes are taken one after the other, up to four in a program, with the coordinates computed once
for all. Where channels lie side by side in memory, a row is one run of columns and channels,
``lane = column * channels + channel``, and a program takes a stretch of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

WARPS = 4
VALUES = 512
LANES = 32


@dataclass(frozen=True)
class Tiling:
    interleaved: bool
    rows: int  # of a tile
    lanes: int
    tiles: int  # of a plane, or of all channels where they are interleaved
    tiles_across: int
    steps: int  # planes that one program takes
    groups: int  # of so many planes

    @property
    def programs(self) -> int:
        """Programs for one glimpse (or image)."""
        return self.tiles * self.groups

    @property
    def constants(self) -> dict[str, Any]:
        """The fields that are compile-time constants of the kernels."""
        return {
            "INTERLEAVED": self.interleaved,
            "ROWS": self.rows,
            "LANES": self.lanes,
            "STEPS": self.steps,
        }


def tiling(height: int, width: int, channels: int, interleaved: bool, most_steps: int) -> Tiling:
    """Tiles for ``channels`` planes of ``height x width``, at most ``most_steps`` to a program."""
    across = width * channels if interleaved else width
    steps = 1 if interleaved else max(n for n in range(1, most_steps + 1) if channels % n == 0)
    lanes = min(next_power_of_2(across), LANES)
    rows = min(next_power_of_2(height), VALUES // lanes)
    tiles_across = -(-across // lanes)
    return Tiling(
        interleaved=interleaved,
        rows=rows,
        lanes=lanes,
        tiles=tiles_across * -(-height // rows),
        tiles_across=tiles_across,
        steps=steps,
        groups=1 if interleaved else channels // steps,
    )


def next_power_of_2(value: int) -> int:
    return 1 << (value - 1).bit_length()


def is_interleaved(tensor: Tensor) -> bool:
    """Whether the channels of a pixel lie side by side."""
    return tensor.shape[1] > 1 and tensor.stride(1) == 1


def offset_type(*tensors: Tensor) -> tl.dtype:
    """The integer type for offsets inside one image (or glimpse) of each tensor."""
    for tensor in tensors:
        steps = zip(tensor.shape[1:], tensor.stride()[1:], strict=True)
        # offsets are computed up to two pixels beyond the edge before masks exclude them
        if sum((size + 2) * stride for size, stride in steps) >= 2**31:
            return tl.int64
    return tl.int32


def real_type(image: Tensor) -> tl.dtype:
    """The type that samples are computed in."""
    return tl.float64 if image.dtype == torch.float64 else tl.float32
