"""Writes a scene of hundreds of megapixels with a few digits in it, as a pyramidal TIFF.

The scene is a grid of fields. In each field lies one 112 x 112 scene of translated MNIST, some 45
times larger, under a grain that no small image of it shows. Tiles are drawn one after the other, so
memory does not depend on the size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .data import TranslatedMNIST
from .functional import glimpse

TILE = 512
GRAIN = 8  # grey values of the grain: 0 to 8, the same everywhere on average
_LEVELS = 6  # to 1/32


@dataclass(frozen=True)
class LargeScene:
    """A grid of ``across`` x ``down`` square fields of ``side`` pixels."""

    across: int
    down: int
    side: int

    @property
    def width(self) -> int:
        return self.across * self.side

    @property
    def height(self) -> int:
        return self.down * self.side

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6

    @property
    def tiles(self) -> int:
        """Of all levels."""
        sides = [self.side >> level for level in range(_LEVELS)]
        return sum(-(-self.across * s // TILE) * -(-self.down * s // TILE) for s in sides)

    def corner(self, field: int) -> tuple[int, int]:
        """The first column and row of a field."""
        return field % self.across * self.side, field // self.across * self.side


def scene_of(megapixels: int) -> LargeScene:
    """Four times three fields, of at least so many megapixels in all.

    Raises:
        ValueError: less than one.
    """
    if megapixels < 1:
        raise ValueError(f"megapixels must be at least 1, got {megapixels}")
    wanted = (megapixels * 1e6 / 12) ** 0.5
    return LargeScene(4, 3, max(-(-int(np.ceil(wanted)) // TILE) * TILE, TILE))


def write_scene(
    path: Path, scene: LargeScene, scenes: TranslatedMNIST, progress: Callable[[int], None]
) -> None:
    """Write the file; ``progress`` is called with the number of tiles so far.

    Raises:
        ValueError: tifffile is not installed.
    """
    try:
        import tifffile
    except ImportError:
        raise ValueError(
            "the large scene needs tifffile: pip install 'mgnet-fast[slides]'"
        ) from None
    fields = scenes.scenes(np.arange(scene.across * scene.down))
    done = 0

    def counted(level: int) -> Iterator[np.ndarray]:
        nonlocal done
        for tile in _tiles(scene, fields, level):
            done += 1
            progress(done)
            yield tile

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for level in range(_LEVELS):
            kind: dict[str, Any] = {"subfiletype": 1}
            if level == 0:
                kind = {"subifds": _LEVELS - 1}
            file.write(
                counted(level),
                shape=(scene.height >> level, scene.width >> level),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="minisblack",
                compression="zlib",
                compressionargs={"level": 1},
                **kind,
            )


def _tiles(scene: LargeScene, fields: Tensor, level: int) -> Iterator[np.ndarray]:
    """The tiles of a level, row by row. Its grain is what averaging leaves of the full one."""
    generator = np.random.default_rng(level)
    side = scene.side >> level
    height, width = scene.down * side, scene.across * side
    spread = GRAIN / 12**0.5 / 2**level
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = np.zeros((TILE, TILE), np.float32)
            _paint(tile, fields, scene, side, top, left)
            grain = generator.standard_normal((TILE, TILE), np.float32) * spread + GRAIN / 2
            yield np.clip(tile + grain, 0, 255).astype(np.uint8)


def _paint(
    tile: np.ndarray, fields: Tensor, scene: LargeScene, side: int, top: int, left: int
) -> None:
    """Draw what lies under a tile, field by field."""
    for row in range(top // side, -(-min(top + TILE, scene.down * side) // side)):
        for column in range(left // side, -(-min(left + TILE, scene.across * side) // side)):
            y0, y1 = max(top, row * side), min(top + TILE, (row + 1) * side)
            x0, x1 = max(left, column * side), min(left + TILE, (column + 1) * side)
            region = torch.tensor(
                [[(x1 - x0) / side, (y1 - y0) / side,
                  (x0 + x1) / side - 2 * column - 1, (y0 + y1) / side - 2 * row - 1]]
            )  # fmt: skip
            field = fields[row * scene.across + column][None].float()
            drawn = glimpse(
                field, region, (y1 - y0, x1 - x0), align_corners=False, padding_mode="border"
            )
            tile[y0 - top : y1 - top, x0 - left : x1 - left] = drawn[0, 0].numpy()
