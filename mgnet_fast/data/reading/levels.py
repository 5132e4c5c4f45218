"""The scales that a file can be decoded at, and the arithmetic between them.

A pixel's centre has coordinate k + 1/2 in units of its level's pixels, whatever the level: that of
the whole image times 1/factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from .orientation import Box, Orientation

# A level is fine enough for a glimpse whose samples are at least this many of its pixels apart. Two
# leave the glimpse's own filter most of the work. Where a level is decoded whole, one level serves
# all looks, the smallest decides which, and the next finer one takes up to twice as long: there a
# little less than one is enough for the smallest look, and the larger ones have more.
LEAST_STEP = 2.0
LEAST_STEP_OF_WHOLE_LEVELS = 0.75


class Level(NamedTuple):
    """The image at one scale; ``factor_y`` and ``factor_x`` are pixels of the image per pixel."""

    height: int
    width: int
    factor_y: float
    factor_x: float


class Source(Protocol):
    """An opened file: pixels as they are stored."""

    @property
    def levels(self) -> Sequence[Level]:
        """From the image itself to the smallest."""

    @property
    def decodes_levels(self) -> bool:
        """Whether a level is decoded whole, however little of it is read."""

    @property
    def held_level(self) -> int | None:
        """The level that is decoded already, if a whole one is."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""

    def read(self, level: int, box: Box) -> np.ndarray:
        """uint8 [h, w, channels], not empty.

        Raises:
            FileNotFoundError: the file has vanished.
            ValueError: it is damaged.
        """

    def close(self) -> None:
        """Release the file and the memory."""


class View(NamedTuple):
    """A region of an image as glimpses see it: (s_x, s_y, x, y) as in :func:`mgnet_fast.glimpse`
    with ``align_corners=True``, and the size of its glimpse."""

    scale_x: float
    scale_y: float
    x: float
    y: float
    height: int
    width: int

    def steps(self, level: Level) -> tuple[float, float]:
        """Pixels of the level between samples, downwards and across."""
        down = abs(self.scale_y) * (level.height * level.factor_y - 1) / level.factor_y
        across = abs(self.scale_x) * (level.width * level.factor_x - 1) / level.factor_x
        return down / max(self.height - 1, 1), across / max(self.width - 1, 1)


def four_numbers(region: Sequence[float]) -> tuple[float, float, float, float]:
    """(s_x, s_y, x, y) of a region, which may be (s, x, y)."""
    scale_x, scale_y, x, y = region if len(region) == 4 else (region[0], *region)
    return float(scale_x), float(scale_y), float(x), float(y)


class Piece(NamedTuple):
    """Pixels [h, w, C] and the region (s_x, s_y, x, y) of them that a view of the image is."""

    pixels: np.ndarray
    region: tuple[float, float, float, float]


def chosen_level(source: Source, view: View) -> int:
    """The coarsest level that is fine enough for a view, the finest if none is."""
    levels = source.levels
    least = LEAST_STEP_OF_WHOLE_LEVELS if source.decodes_levels else LEAST_STEP
    chosen = 0
    for number, level in enumerate(levels):
        if min(level.height, level.width) < 2 <= min(levels[0].height, levels[0].width):
            break  # an axis of one pixel has no scale
        if min(view.steps(level)) >= least:
            chosen = number
    return chosen


class _Axis(NamedTuple):
    """One axis of a piece: its pixels first..last - 1 of the level, and the view in the piece."""

    first: int
    last: int
    scale: float
    shift: float
    before: int  # pixels that repeat the image's edge
    behind: int


def piece_of(source: Source, number: int, view: View, turn: Orientation) -> Piece:
    """What a view needs of a level, displayed as ``turn`` says.

    Args:
        source: the file.
        number: of the level.
        view: what is looked at, in the displayed image.
        turn: the orientation of the file.
    """
    level, image = source.levels[number], source.levels[0]
    height, width = turn.size(level.height, level.width)
    whole_height, whole_width = turn.size(image.height, image.width)
    factors = level.factor_y, level.factor_x
    factor_y, factor_x = factors[::-1] if turn.transposed else factors
    # Levels begin where the stored image does, and may reach beyond its other end.
    beyond_y = height * factor_y - whole_height if turn.mirrored_y else 0.0
    beyond_x = width * factor_x - whole_width if turn.mirrored_x else 0.0
    down = _axis(view.scale_y, view.y, whole_height, height, factor_y, view.height, beyond_y)
    across = _axis(view.scale_x, view.x, whole_width, width, factor_x, view.width, beyond_x)
    box = turn.stored_box(Box(across.first, down.first, across.last, down.last), height, width)
    pixels = turn.displayed(source.read(number, box))
    if down.before or down.behind or across.before or across.behind:
        edges = ((down.before, down.behind), (across.before, across.behind), (0, 0))
        pixels = np.pad(pixels, edges, mode="edge")
    return Piece(pixels, (across.scale, down.scale, across.shift, down.shift))


def _axis(
    scale: float,
    shift: float,
    whole: int,
    size: int,
    factor: float,
    samples: int,
    beyond: float,
) -> _Axis:
    half = scale * (whole - 1) / 2 / factor  # half the extent, in the level's pixels
    centre = ((shift + 1) / 2 * (whole - 1) + 0.5 + beyond) / factor - 0.5
    if not (math.isfinite(half) and math.isfinite(centre)):
        return _Axis(0, min(2, size), math.nan, math.nan, 0, 0)
    radius = max(1.0, 2 * abs(half) / max(samples - 1, 1))
    first = min(max(math.floor(centre - abs(half) - radius) - 1, 0), max(size - 2, 0))
    last = max(min(math.ceil(centre + abs(half) + radius) + 2, size), min(first + 2, size))
    # Samples within half a pixel of the image's edge lie outside the outermost pixels' centres of a
    # coarser level, where padding would darken them: one more pixel repeats the edge.
    before, behind = (int(factor > 1 and first == 0), int(factor > 1 and last == size))
    count = before + last - first + behind
    if count == 1:
        return _Axis(first, last, scale, shift, 0, 0)
    unit = (count - 1) / 2
    return _Axis(first, last, half / unit, (centre - first + before) / unit - 1, before, behind)
