"""Clutter: pieces of other digits at random places of a scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mgnet_fast.data.streams import Purpose, bit_stream, uniform

DRAWS = 5  # the digit, (row, column) in it, (row, column) in the scene


def drawn_pieces(scenes: int, pieces: int, seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1), [scenes, pieces, 5], that decide the clutter of an epoch."""
    draws = uniform(bit_stream(seed, Purpose.CLUTTER, epoch), scenes * pieces * DRAWS)
    return draws.reshape(scenes, pieces, DRAWS)


def clutter(
    digits: npt.NDArray[np.uint8], drawn: npt.NDArray[np.float64], size: int, side: int
) -> npt.NDArray[np.uint8]:
    """Scenes with square pieces of digits only; where pieces overlap, the brighter one shows.

    Every piece is cut from a random place of a random digit and put at a random place.

    Args:
        digits: uint8 [N, h, w].
        drawn: [n, pieces, 5], the rows of :func:`drawn_pieces` for these scenes.
        size: side of the scenes.
        side: of a piece in pixels.

    Returns:
        uint8 [n, size, size].
    """
    inside = [length - side + 1 for length in digits.shape[1:]]
    ranges = np.array([len(digits), *inside, size - side + 1, size - side + 1])
    places = (drawn * ranges).astype(np.int64)
    scenes = np.zeros((len(drawn), size, size), np.uint8)
    span = np.arange(side)
    scene = np.arange(len(drawn))[:, None, None]
    for piece in range(drawn.shape[1]):
        digit, top, left, y, x = places[:, piece].T[:, :, None, None]
        pixels = digits[digit, top + span[:, None], left + span]
        where = scene, y + span[:, None], x + span
        scenes[where] = np.maximum(scenes[where], pixels)
    return scenes
