"""EXIF orientation in every way of reading, held against Pillow's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from mgnet_fast import open_image
from mgnet_fast.data import FolderImages, ImageTransform, read_image_tree
from mgnet_fast.data.reading.options import ReadOptions
from mgnet_fast.data.reading.whole import read_image

SUFFIXES = (".jpg", ".png", ".tif", ".webp")


def photograph(path: Path, orientation: int) -> np.ndarray:
    """Write a file of this EXIF orientation; what Pillow displays."""
    y, x = np.mgrid[0:40, 0:56]
    pixels = np.stack([4 * x, 5 * y, (x + 2 * y)], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif, lossless=True, quality=95)
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_whole_files(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    wanted = photograph(path, orientation)
    assert np.array_equal(read_image(path, ReadOptions()), wanted)
    image = open_image(path)
    assert (image.height, image.width) == wanted.shape[:2]
    assert np.array_equal(image.pixels(), wanted)
    with Image.open(path) as stored:
        assert np.array_equal(
            read_image(path, ReadOptions(ignore_exif=True)), np.asarray(stored.convert("RGB"))
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_folders_of_training_and_evaluation(tmp_path: Path, orientation: int) -> None:
    for name in ("ant", "bee"):
        (tmp_path / "val" / name).mkdir(parents=True)
        wanted = photograph(tmp_path / "val" / name / "0.png", orientation)
    images = FolderImages(read_image_tree(tmp_path, "val"), ImageTransform(20, 20))
    cut = Image.fromarray(wanted)
    assert np.array_equal(
        np.asarray(images.image(0)), np.asarray(ImageTransform(20, 20).validate(cut))
    )


def test_damaged_exif_is_no_exif(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg", ReadOptions()).shape == (6, 8, 3)
