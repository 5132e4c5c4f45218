"""Clutter: pieces of other digits at random places of a scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mgnet_fast.data.streams import Purpose, bit_stream, uniform

DRAWS = 5  # the digit, (row, column) in it, (row, column) in the scene


def clutter(
    digits: npt.NDArray[np.uint8],
    indices: npt.NDArray[np.int64],
    size: int,
    pieces: int,
    side: int,
    *,
    seed: int,
    epoch: int,
) -> npt.NDArray[np.uint8]:
    """Scenes with square pieces of digits only; where pieces overlap, the brighter one shows.

    Every piece is cut from a random place of a random digit and put at a random place.

    Args:
        digits: uint8 [N, h, w].
        indices: int64 [n], of the scenes in 0..N-1; scene i depends only on (seed, epoch, i).
        size: side of the scenes.
        pieces: number of pieces in each scene.
        side: of a piece in pixels.
        seed, epoch: determine the pieces.

    Returns:
        uint8 [n, size, size].
    """
    draws = uniform(bit_stream(seed, Purpose.CLUTTER, epoch), len(digits) * pieces * DRAWS)
    chosen = draws.reshape(len(digits), pieces, DRAWS)[indices]
    inside = [length - side + 1 for length in digits.shape[1:]]
    ranges = np.array([len(digits), *inside, size - side + 1, size - side + 1])
    places = (chosen * ranges).astype(np.int64)
    scenes = np.zeros((len(indices), size, size), np.uint8)
    span = np.arange(side)
    scene = np.arange(len(indices))[:, None, None]
    for piece in range(pieces):
        digit, top, left, y, x = places[:, piece].T[:, :, None, None]
        pixels = digits[digit, top + span[:, None], left + span]
        where = scene, y + span[:, None], x + span
        scenes[where] = np.maximum(scenes[where], pixels)
    return scenes
