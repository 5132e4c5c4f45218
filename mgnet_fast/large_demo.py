"""Classifies the digits of a large scene by looking, beside decoding it all first.

Each way runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .assets import antialiased_toy_checkpoint_path
from .data.reading.file_image import open_image
from .demo import load_model
from .engine import Engine, Never, Prediction
from .large_scene import LargeScene
from .threads import fixed_threads


@dataclass(frozen=True)
class WayOfReading:
    """What one way of reading gave and took.

    Attributes:
        name: "by looking" or "decoding it all first".
        labels: of the fields.
        regions (list[Tensor[T, 3]]): where the network looked in each field.
        seconds: from the closed file to the labels.
        reading_seconds: those spent in reading and decoding.
        megabytes_read: of the file.
        peak_megabytes: of memory, beyond what the process had with network and libraries.
    """

    name: str
    labels: list[int]
    regions: list[Tensor]
    seconds: float
    reading_seconds: float
    megabytes_read: float
    peak_megabytes: float


def by_looking(path: Path, scene: LargeScene, checkpoint: Path | None) -> WayOfReading:
    """Each glimpse reads the tiles that it needs."""
    return _in_a_process(_look, path, scene, checkpoint)


def decoding_first(path: Path, scene: LargeScene, checkpoint: Path | None) -> WayOfReading:
    """All pixels are decoded, then the network looks."""
    return _in_a_process(_decode, path, scene, checkpoint)


def _in_a_process(way: Callable[..., WayOfReading], *arguments: Any) -> WayOfReading:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(way, arguments)


def _look(path: Path, scene: LargeScene, checkpoint: Path | None) -> WayOfReading:
    engine, before = _ready(checkpoint)
    start = time.perf_counter()
    with fixed_threads(1):
        whole = open_image(path, 1)
        windows = [
            whole.window(*scene.corner(field), scene.side, scene.side)
            for field in range(scene.across * scene.down)
        ]
        results = engine.predict(windows)
    seconds = time.perf_counter() - start
    reading = sum(window.reading_seconds for window in windows)
    return _way("by looking", results, seconds, reading, whole.bytes_read, before)


def _decode(path: Path, scene: LargeScene, checkpoint: Path | None) -> WayOfReading:
    engine, before = _ready(checkpoint)
    start = time.perf_counter()
    with fixed_threads(1):
        whole = open_image(path, 1)
        pixels = whole.pixels()
        reading = time.perf_counter() - start
        fields = []
        for field in range(scene.across * scene.down):
            left, top = scene.corner(field)
            fields.append(pixels[top : top + scene.side, left : left + scene.side])
        results = [
            engine.predict(torch.from_numpy(each).permute(2, 0, 1)[None])[0] for each in fields
        ]
    seconds = time.perf_counter() - start
    return _way("decoding it all first", results, seconds, reading, whole.bytes_read, before)


def _ready(checkpoint: Path | None) -> tuple[Engine, float]:
    """The engine, after a first image, and the memory so far."""
    model = load_model(checkpoint or antialiased_toy_checkpoint_path())
    engine = Engine(model, slots=4, runner="eager", exit=Never())
    engine.predict([np.zeros((112, 112, 1), np.uint8)] * 4)
    return engine, _peak_megabytes()


def _peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)  # bytes there, else kilobytes


def _way(
    name: str,
    results: list[Prediction],
    seconds: float,
    reading: float,
    bytes_read: int,
    before: float,
) -> WayOfReading:
    return WayOfReading(
        name,
        [each.label for each in results],
        [each.regions for each in results],
        seconds,
        reading,
        bytes_read / 1e6,
        _peak_megabytes() - before,
    )
