"""Small image files for runs over many images."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mgnet_fast.demo import load_scenes


def jpeg_scenes(count: int) -> list[bytes]:
    """``count`` scenes of 112 pixels as JPEG files: the shipped digits at ever new places."""
    scenes = load_scenes()
    rounds = range(-(-count // len(scenes)))
    pixels = (scenes.scenes(np.arange(len(scenes)), epoch=each).numpy()[:, 0] for each in rounds)
    return [_jpeg(scene) for each in pixels for scene in each][:count]


def order_of(shard: int, count: int, scenes: int) -> Sequence[int]:
    """Which of ``scenes`` scenes the ``count`` images of a tar shard are."""
    draw = np.random.Generator(np.random.Philox(key=shard))
    return draw.integers(0, scenes, count).tolist()


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
