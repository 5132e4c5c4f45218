"""The toy CNN on large scenes that are mostly blank: the same function, a fraction of the work.

Where only blank pixels are in reach of a position, its feature is that of a blank scene. So each
layer computes only the tiles of its map that something reaches, and takes the other positions from
a small blank scene, which has every kind of border. Values and gradients equal those of
:class:`mgnet_fast.models.backbones.toy_cnn.ToyCNN` up to the order of float sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgnet_fast.models.backbones.toy_cnn import ToyCNN
from mgnet_fast.ops.autocast import without_autocast

LARGE = 224  # pixels; smaller scenes are hardly blank
FIRST_TILE, TILE = 4, 2  # positions of a map each way
BLANK_SIDE = 112
BORDER = 4  # positions at each edge of a map that may differ from its middle


class Tiles(NamedTuple):
    """Tiles of a batch of maps: image, and row and column in units of tiles, int64 [n] each."""

    image: Tensor
    row: Tensor
    column: Tensor


class Rows(NamedTuple):
    """A batch of maps as a table [rows, C]: position (b, y, x) is row ``at[b, y, x]``.

    Row 0 is zero; then come the positions of the blank map, then those of tiles.
    """

    table: Tensor
    at: Tensor


@contextmanager
def marks_only() -> Iterator[None]:
    """Inside, every :class:`ToyCNN` goes through large square scenes by :func:`features`."""
    whole = ToyCNN.forward

    def forward(cnn: ToyCNN, x: Tensor) -> Tensor:
        is_large = x.shape[2] == x.shape[3] >= LARGE and x.shape[2] % 16 == 0
        return features(cnn, x) if is_large else whole(cnn, x)

    ToyCNN.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        ToyCNN.forward = whole  # type: ignore[method-assign]


def features(cnn: ToyCNN, x: Tensor) -> Tensor:
    """``cnn(x)``, [B, 1, S, S] to [B, 128]. S is a multiple of 16; blank is the smallest value."""
    blank = x.new_full((1, 1, BLANK_SIDE, BLANK_SIDE), float(x.detach().amin()))
    first = _pooled(cnn.conv1, blank)
    second = _pooled(cnn.conv2, first)
    third = _pooled(cnn.conv3, second)
    fourth = F.relu(cnn.conv4(third))
    marks = (F.max_pool2d(x[:, 0].detach(), 4) > blank[0, 0, 0, 0]).float()  # in blocks
    first_shape = torch.Size([len(x), x.shape[2] // 2 - 2, x.shape[3] // 2 - 2])
    rows = _laid_out(*_convolved_pixels(cnn.conv1, x, marks), first, first_shape)
    reached = _reached(marks, 4, 1, (1, 2), len(rows.at[0]) // 2)
    rows = _laid_out(*_convolved(cnn.conv2, rows, reached, pool=2), second, reached.shape)
    reached = _reached(reached, 4, 2, (1, 2), len(reached[0]) // 2)
    rows = _laid_out(*_convolved(cnn.conv3, rows, reached, pool=2), third, reached.shape)
    reached = _reached(reached, 3, 1, (1, 1), len(reached[0]))
    return _means(*_convolved(cnn.conv4, rows, reached, pool=1), fourth, reached.shape)


def _pooled(conv: nn.Module, x: Tensor) -> Tensor:
    return F.relu(F.max_pool2d(conv(x), 2))


def _reached(
    before: Tensor, kernel: int, stride: int, padding: tuple[int, int], side: int
) -> Tensor:
    """Which positions of a map, [B, side, side], what is reached before them reaches."""
    return F.max_pool2d(F.pad(before, (*padding, *padding)), kernel, stride)[:, :side, :side]


def _convolved_pixels(conv: nn.Conv2d, x: Tensor, marks: Tensor) -> tuple[Tensor, Tiles]:
    """The first layer, pooled, at the tiles that a mark reaches. A tile sees three blocks."""
    apart = 2 * FIRST_TILE
    wide = apart + 4
    tiles = Tiles(*F.max_pool2d(F.pad(marks, (0, 1, 0, 1)), 3, 2).nonzero(as_tuple=True))
    patches = F.pad(x[:, 0], (0, 4, 0, 4)).unfold(1, wide, apart).unfold(2, wide, apart)
    return _pooled(conv, patches[tiles.image, tiles.row, tiles.column][:, None]), tiles


def _convolved(conv: nn.Conv2d, rows: Rows, reached: Tensor, *, pool: int) -> tuple[Tensor, Tiles]:
    """A layer with zeros around its map, pooled, at the tiles that are reached."""
    tiles = Tiles(*F.max_pool2d(reached, TILE, ceil_mode=True).nonzero(as_tuple=True))
    around = conv.kernel_size[0] // 2
    span = torch.arange(pool * TILE + 2 * around) - around
    side = rows.at.shape[1]
    down, along = (pool * TILE * each[:, None] + span for each in (tiles.row, tiles.column))
    at = rows.at[
        tiles.image[:, None, None],
        down.clamp(0, side - 1)[:, :, None],
        along.clamp(0, side - 1)[:, None, :],
    ]
    down, along = ((each >= 0) & (each < side) for each in (down, along))
    at = at * (down[:, :, None] & along[:, None, :])
    patches = rows.table.index_select(0, at.flatten()).view(*at.shape, -1).permute(0, 3, 1, 2)
    found = F.conv2d(patches, conv.weight, conv.bias)
    return F.relu(F.max_pool2d(found, pool) if pool > 1 else found), tiles


def _places(blank: Tensor, side: int) -> Tensor:
    """int64 [side, side]: the position of the blank map that stands for each position."""
    small = blank.shape[2]
    steps = torch.arange(side)
    steps = torch.where(
        steps < BORDER,
        steps,
        torch.where(steps >= side - BORDER, steps - side + small, small // 2),
    )
    return steps[:, None] * small + steps


def _table(blank: Tensor) -> Tensor:
    return blank[0].flatten(1).T


def _laid_out(values: Tensor, tiles: Tiles, blank: Tensor, shape: torch.Size) -> Rows:
    """Maps of ``shape`` [B, N, N]: ``values`` [n, C, t, t] at tiles, the blank one elsewhere."""
    count, side = shape[:2]
    tile = values.shape[2]
    rows = values.permute(0, 2, 3, 1).flatten(0, 2)
    table = torch.cat([rows.new_zeros(1, rows.shape[1]), _table(blank).to(rows.dtype), rows])
    before = 1 + blank[0, 0].numel()
    behind = -side % tile
    at = F.pad((_places(blank, side) + 1).int(), (0, behind, 0, behind))
    at = at.expand(count, -1, -1).clone()
    by_tile = at.unflatten(1, (-1, tile)).unflatten(3, (-1, tile)).transpose(2, 3)
    by_tile[tiles] = before + torch.arange(len(rows), dtype=torch.int32).view(-1, tile, tile)
    return Rows(table, at[:, :side, :side])


def _means(values: Tensor, tiles: Tiles, blank: Tensor, shape: torch.Size) -> Tensor:
    """Means [B, C] over the positions of the map that :func:`_laid_out` would give."""
    count, side, _ = shape
    if values.dtype == torch.bfloat16:  # whose sums would be rough
        values, blank = values.float(), blank.float()
    whole = -(-side // TILE) * TILE
    places = _places(blank, side)
    others = torch.ones(count, whole, whole, dtype=torch.bool)
    others.view(count, whole // TILE, TILE, whole // TILE, TILE).transpose(2, 3)[tiles] = False
    others = others[:, :side, :side].flatten(1).to(blank.dtype)
    counts = blank.new_zeros(count, blank[0, 0].numel())
    counts.index_add_(1, places.flatten(), others)
    span = torch.arange(TILE)
    down, along = (TILE * each[:, None] + span < side for each in (tiles.row, tiles.column))
    weights = (down[:, :, None] & along[:, None, :]).to(values.dtype)
    sums = (values * weights[:, None]).sum((2, 3))
    with without_autocast(values.device.type):
        total = (counts @ _table(blank)).index_add(0, tiles.image, sums)
    return total / side**2
