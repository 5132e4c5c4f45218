"""Small image files for runs over many images."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mgnet_fast.demo import load_scenes

DIGITS = 500  # that are shipped


def jpeg_scenes(count: int) -> list[bytes]:
    """``count`` scenes of 112 pixels as JPEG files: the shipped digits, at new places each round."""
    files: list[bytes] = []
    for start in range(0, count, DIGITS):
        scenes = load_scenes(DIGITS, seed=start).scenes(np.arange(min(DIGITS, count - start)))
        files.extend(_jpeg(scene) for scene in scenes.numpy()[:, 0])
    return files


def order_of(shard: int, count: int, scenes: int) -> Sequence[int]:
    """Which of ``scenes`` scenes the ``count`` images of a tar shard are."""
    draw = np.random.Generator(np.random.Philox(key=shard))
    return draw.integers(0, scenes, count).tolist()


def _jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()
