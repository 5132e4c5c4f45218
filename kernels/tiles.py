"""How glimpses and images are cut into tiles, one per program: a fixed choice by shape.

A tile is 512 values in 4 warps, four per thread: enough loads in flight to hide memory latency, and
few enough registers to avoid spills. Its rows are as long as a warp, so that 96 and 224 columns
leave no lane idle.

A program processes up to four planes one after another, with the coordinates computed once for all.
If channels are interleaved in memory, a row is one run of columns and channels,
``lane = column * channels + channel``, and a program takes a part of that run.
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
    rows: int  # rows of a tile
    lanes: int
    tiles: int  # tiles of a plane, or of all channels if interleaved
    tiles_across: int
    steps: int  # planes per program
    groups: int  # groups of that many planes

    @property
    def programs(self) -> int:
        """Number of programs per glimpse (or image)."""
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
    """Tiles for ``channels`` planes of ``height x width``, at most ``most_steps`` per program."""
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
    """Whether the channels of a pixel are adjacent."""
    return tensor.shape[1] > 1 and tensor.stride(1) == 1


def offset_type(*tensors: Tensor) -> tl.dtype:
    """The integer type for offsets inside one image (or glimpse) of each tensor."""
    for tensor in tensors:
        steps = zip(tensor.shape[1:], tensor.stride()[1:], strict=True)
        # Offsets are computed up to two pixels beyond the edge before masks exclude them.
        if sum((size + 2) * stride for size, stride in steps) >= 2**31:
            return tl.int64
    return tl.int32


def real_type(image: Tensor) -> tl.dtype:
    """The type of the computation."""
    return tl.float64 if image.dtype == torch.float64 else tl.float32
