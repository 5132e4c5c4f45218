"""``mgnet-fast demo --large``: digits found in a scene that is never decoded whole."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgnet_fast import open_image
from mgnet_fast.demo import load_scenes
from mgnet_fast.large_scene import LargeScene, scene_of, write_scene


def test_it_finds_the_digits_and_reads_little(command, tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    result = command("demo", "--large", "--megapixels", "20", "--out", tmp_path / "a.png")
    assert result.code == 0
    assert "a scene of 6,144 x 4,608 pixels with 12 digits" in result.out
    looking, whole = (
        re.search(rf"{way} +(\d+) of 12 .* ([\d.]+) +-?\d+", result.out)
        for way in ("by looking", "decoding it all first")
    )
    assert looking is not None
    assert whole is not None
    assert int(looking[1]) >= 11
    assert float(looking[2]) < 0.1 * float(whole[2])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width >= 1000


def test_it_needs_tifffile(command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    result = command("demo", "--large", "--out", tmp_path / "a.png")
    assert result.code == 1
    assert "pip install 'mgnet-fast[slides]'" in result.err


def test_levels_show_the_same_scene(tmp_path: Path) -> None:
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    scene = LargeScene(2, 1, 512)
    seen: list[int] = []
    write_scene(tmp_path / "a.tif", scene, load_scenes(2), seen.append)
    assert seen == list(range(1, scene.tiles + 1))
    image = open_image(tmp_path / "a.tif", 1)
    assert (image.height, image.width) == (512, 1024)
    whole = image.pixels()[:, :, 0].astype(float)
    for size, factor in ((100, 2), (30, 8)):
        small = open_image(tmp_path / "a.tif", 1).shrunk((1, 0, 0), (size, size))[:, :, 0]
        averaged = whole.reshape(512 // factor, factor, 1024 // factor, factor).mean((1, 3))
        assert small.shape == averaged.shape
        assert np.abs(small - averaged).mean() < 3
    window = image.window(512, 0, 512, 512)
    assert np.array_equal(window.pixels()[:, :, 0], whole[:, 512:].astype(np.uint8))


def test_sizes() -> None:
    assert scene_of(300).megapixels >= 300
    with pytest.raises(ValueError, match="megapixels must be at least 1"):
        scene_of(0)
