"""Antialiased glimpses of photographs against the resizers that users take today."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench import interleaved
from bench.conftest import Versus
from mgnet_fast import glimpse

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OPTIONS: dict[str, Any] = {"align_corners": False, "antialias": True}
TOLERANCE = 2e-6 / min(STD)
ALL = torch.tensor([[1.0, 0.0, 0.0]])
CROP = "crop, interpolate(antialias), normalise"


def _photograph() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)


def _deviation(image: Tensor, region: Tensor, size: int) -> float:
    """Of the normalised glimpse from the float64 reference, image by image to save memory."""
    worst = 0.0
    for one, where in zip(image.split(1), region.split(1), strict=True):
        got = glimpse(one, where, size, mean=MEAN, std=STD, **OPTIONS)
        exact = glimpse(
            one.double(), where.double(), size, mean=[255 * each for each in MEAN],
            std=[255 * each for each in STD], backend="reference", **OPTIONS,
        )  # fmt: skip
        worst = max(worst, float((got.double() - exact).abs().max()))
    return worst


def _share_of_reading(ours: Callable[[], Any], image: Tensor, used: int, seconds: float) -> float:
    """How near ``ours`` is to only reading the ``used`` bytes of ``image``, as one sum does."""
    words = np.frombuffer(image.contiguous().numpy().data, dtype=np.uint64)
    ratio = interleaved.compare(ours, words.sum, seconds).speedup.p50
    return ratio * used / words.nbytes


def _pillow(pixels: np.ndarray, size: int) -> Callable[[], Any]:
    from PIL import Image

    picture = Image.fromarray(pixels)
    return lambda: picture.resize((size, size), Image.Resampling.BILINEAR)


def _opencv(pixels: np.ndarray, size: int) -> Callable[[], Any]:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    cv2.setNumThreads(torch.get_num_threads())
    return lambda: cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)


def _torch(pixels: np.ndarray, size: int) -> Callable[[], Any]:
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return lambda: F.interpolate(image, (size, size), mode="bilinear", antialias=True)


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize(
    ("peer", "make", "target"),
    [
        ("OpenCV INTER_AREA", _opencv, 3),
        ("Pillow resize", _pillow, 5),
        ("torch interpolate(antialias)", _torch, None),
    ],
    ids=["opencv", "pillow", "torch"],
)
def test_whole_photograph(
    versus: Versus, peer: str, make: Any, target: float | None, size: int
) -> None:
    """12 megapixels of bytes. Ours normalises in the same pass, the peers leave bytes."""
    pixels = _photograph()
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]

    def ours() -> Tensor:
        return glimpse(image, ALL, size, mean=MEAN, std=STD, **OPTIONS)

    share = _share_of_reading(ours, image.permute(0, 2, 3, 1), pixels.nbytes, versus.seconds / 2)
    versus(
        ours,
        make(pixels, size),
        deviation=_deviation(image, ALL, size),
        tolerance=TOLERANCE,
        suite="glimpse", op="antialiased", case=f"(1,3,3000,4000) bytes -> {size}, s = 1",
        dtype="uint8", peer=peer, target=target, bytes_moved=pixels.nbytes, copy_share=share,
    )  # fmt: skip


@pytest.mark.parametrize("size", [96, 224])
@pytest.mark.parametrize("scale", [0.2, 0.35, 0.5])
def test_regions(versus: Versus, scale: float, size: int) -> None:
    """Crops at whole pixels in the peer, so its results are compared with its own crops."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randint(0, 256, (8, 3, 1024, 1024), generator=generator, dtype=torch.uint8)
    side = int(1024 * scale)
    corner = torch.randint(0, 1024 - side, (8, 2), generator=generator)
    region = torch.cat([torch.full((8, 1), side / 1024), (2 * corner + side) / 1024 - 1], dim=1)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))

    def ours() -> Tensor:
        return glimpse(image, region, size, mean=MEAN, std=STD, **OPTIONS)

    def pipeline() -> Tensor:
        crops = [
            image[n : n + 1, :, y : y + side, x : x + side]
            for n, (x, y) in enumerate(corner.tolist())
        ]
        small = [F.interpolate(c, (size, size), mode="bilinear", antialias=True) for c in crops]
        return torch.cat(small).float().div(255).sub(mean).div(std)

    # Away from the crops' edges, which ours filters across; the peer rounds to bytes.
    assert (ours() - pipeline())[..., 8:-8, 8:-8].abs().max() < 1.1 / 255 / min(STD)
    used = 8 * 3 * side * side
    versus(
        ours,
        pipeline,
        deviation=_deviation(image, region, size),
        tolerance=TOLERANCE,
        suite="glimpse", op="antialiased", case=f"(8,3,1024,1024) bytes -> {size}, s = {scale}",
        dtype="uint8", peer=CROP, target=5 if side > size else None, bytes_moved=used,
        copy_share=_share_of_reading(ours, image, used, versus.seconds / 2),
    )  # fmt: skip
