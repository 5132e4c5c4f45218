"""Photographs of 12 megapixels, from the file to the label, against decoding them whole."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.conftest import Versus
from mgnet_fast import Engine, create_model, open_image
from mgnet_fast.data.reading.options import ReadOptions
from mgnet_fast.data.reading.whole import read_image
from mgnet_fast.engine import Never, Prediction

COUNT = 4
SHIFT = 0.02  # of a region, where the image spans 2


def photograph(seed: int, height: int = 3000, width: int = 4000) -> bytes:
    """A JPEG with structures of all sizes, edges and noise, as photographs have."""
    generator = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for octave in range(7):
        cells = 4 << octave
        for channel in range(3):
            coarse = generator.normal(size=(cells * 3 // 4 + 2, cells + 2)).astype(np.float32)
            smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            image[:, :, channel] += np.asarray(smooth) / 1.6**octave
    for _ in range(60):
        x, y = generator.integers(0, width), generator.integers(0, height)
        right, lower = (
            x + generator.integers(20, width // 6),
            y + generator.integers(20, height // 6),
        )
        image[y:lower, x:right] += 1.2 * generator.normal(size=3)
    image += 0.12 * generator.normal(size=(height, width, 1))
    pixels = np.clip(128 + 50 * image, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def network(antialias: bool, glimpses: int = 4) -> Engine:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(
            "mgnet_resnet18", num_classes=100, num_glimpses=glimpses, antialias=antialias
        )
    return Engine(model.eval(), slots=1, runner="packed", exit=Never())


@pytest.fixture(scope="module")
def photographs() -> list[bytes]:
    return [photograph(seed) for seed in range(COUNT)]


def lazily(engine: Engine, photographs: list[bytes]) -> Callable[[], list[Prediction]]:
    return lambda: engine.predict([open_image(data) for data in photographs])


def by_pillow(engine: Engine, photographs: list[bytes]) -> Callable[[], list[Prediction]]:
    """As this package did up to 0.1."""

    def run() -> list[Prediction]:
        images = (Image.open(io.BytesIO(data)).convert("RGB") for data in photographs)
        return list(engine.stream(np.asarray(image) for image in images))

    return run


def decoded_whole(
    engine: Engine, photographs: list[bytes], tmp_path_factory: Any
) -> Callable[[], list[Prediction]]:
    folder = tmp_path_factory.mktemp("photographs")
    paths = []
    for number, data in enumerate(photographs):
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(data)
    return lambda: list(engine.stream(read_image(path, ReadOptions()) for path in paths))


@pytest.mark.parametrize("peer", ["Pillow, whole, bilinear", "whole, antialiased"])
@pytest.mark.parametrize("glimpses", [4, 2])
def test_from_file_to_label(
    versus: Versus,
    photographs: list[bytes],
    glimpses: int,
    peer: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Two glimpses are what an early exit leaves; the peers take all four."""
    soft = network(antialias=True)
    ours = lazily(network(antialias=True, glimpses=glimpses), photographs)
    whole = decoded_whole(soft, photographs, tmp_path_factory)
    deviation = max(
        float((one.regions[:glimpses] - other.regions[:glimpses]).abs().max())
        for one, other in zip(ours(), whole(), strict=True)
    )
    theirs = whole
    if peer.startswith("Pillow"):
        theirs = by_pillow(network(antialias=False), photographs)
    target = {4: 3, 2: 4}[glimpses] if peer.startswith("Pillow") else None
    versus(
        ours,
        theirs,
        deviation=deviation,
        tolerance=SHIFT,
        suite="files", op="12-megapixel JPEGs to labels",
        case=f"mgnet_resnet18, {COUNT} files, T = {glimpses}, 1 slot, reading lazily",
        dtype="float32", peer=f"{peer}, T = 4", target=target,
    )  # fmt: skip
