"""Tiled and pyramidal TIFFs, read by tile and level."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mgnet_fast import glimpse, open_image
from mgnet_fast.data.reading.options import ReadOptions
from mgnet_fast.data.reading.slide_source import open_slide
from mgnet_fast.data.reading.tile_cache import TILES, TileCache

tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")


def picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 97 + c) + np.cos(y / 79 - c) for c in range(3)]
    return (127 + 55 * np.stack(waves, axis=2)).astype(np.uint8)


def write_pyramid(path: Path, pixels: np.ndarray, levels: int = 3, **options: object) -> Path:
    """Each level half of the one before, averaged."""
    with tifffile.TiffWriter(path) as file:
        settings = {"tile": (64, 80), "photometric": "rgb" if pixels.ndim == 3 else "minisblack"}
        for level in range(levels):
            size = [side >> level for side in pixels.shape[1::-1]]
            image = Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
            kind = {"subifds": levels - 1} if level == 0 else {"subfiletype": 1}
            file.write(np.asarray(image), **settings, **kind, **options)
    return path


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    pixels = picture(1024, 1600)
    return write_pyramid(tmp_path_factory.mktemp("slide") / "a.tif", pixels), pixels


@pytest.mark.parametrize("region", [(1.0, 0.0, 0.0), (0.2, 0.8, -0.8), (0.1, -0.3, 0.4)])
@pytest.mark.parametrize("size", [(28, 28), (100, 60)])
def test_pieces(
    slide: tuple[Path, np.ndarray], region: tuple[float, ...], size: tuple[int, int]
) -> None:
    path, pixels = slide
    image = open_image(path)
    assert image.scales == (1.0, 2.0, 4.0)
    piece = image.piece(region, size)
    found = torch.from_numpy(np.ascontiguousarray(piece.pixels)).permute(2, 0, 1)[None]
    lazy = glimpse(found, torch.tensor([piece.region], dtype=torch.float64), size, antialias=True)
    whole = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    full = glimpse(whole, torch.tensor([region]), size, antialias=True)
    assert float((lazy - full).abs().max()) < 0.02


def test_only_tiles_under_the_glimpse_are_read(slide: tuple[Path, np.ndarray]) -> None:
    image = open_image(slide[0])
    before = len(TILES._held)
    image.piece((0.02, 0.5, 0.5), (28, 28))
    assert len(TILES._held) - before <= 6
    image.close()
    assert len(TILES._held) == before


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["grey", "rgb", "16 bits", "compressed"])
def test_kinds_of_pixels(tmp_path: Path, kind: str, channels: int) -> None:
    pixels = picture(200, 300)
    options = {}
    if kind == "grey":
        pixels = pixels[:, :, 0]
    if kind == "compressed":
        options = {"compression": "zlib"}
    written = pixels
    if kind == "16 bits":
        pixels = pixels[:, :, 0]
        written = pixels.astype(np.uint16) * 256 + 77
        tifffile.imwrite(tmp_path / "a.tif", written, tile=(64, 64))
    else:
        write_pyramid(tmp_path / "a.tif", written, levels=1, **options)
    got = open_image(tmp_path / "a.tif", channels).pixels()
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    wanted = np.asarray(Image.fromarray(pixels).convert(mode))
    assert np.array_equal(got.squeeze(), wanted)


def test_damage_and_absence_are_told(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", picture(512, 512), compression="zlib")
    image = open_image(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        image.piece((0.1, 0, 0), (28, 28))
    path = write_pyramid(tmp_path / "b.tif", picture(512, 512), compression="zlib")
    image = open_image(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 20)
        file.write(bytes(size - size // 20))
    with pytest.raises(ValueError, match=r"\w"):
        image.piece((0.5, 0.4, 0.4), (200, 200))


def test_slides_need_openslide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.svs").write_bytes(b"II*\x00" + bytes(100))
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(
        ValueError, match=r"slides need OpenSlide: pip install 'mgnet-fast\[slides\]'"
    ):
        open_image(tmp_path / "a.svs")


def test_openslide_reads_the_same(slide: tuple[Path, np.ndarray]) -> None:
    pytest.importorskip("openslide", reason="OpenSlide is not installed")
    path, pixels = slide
    source = open_slide(path, ReadOptions())
    if source is None:
        pytest.skip("this OpenSlide does not take it for a slide")
    from mgnet_fast.data.reading.orientation import Box

    got = source.read(0, Box(100, 200, 180, 260))
    assert np.array_equal(got, pixels[200:260, 100:180])


def test_unknown_slides(tmp_path: Path) -> None:
    pytest.importorskip("openslide", reason="OpenSlide is not installed")
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8nothing")
    with pytest.raises(ValueError, match="knows no format like this, or it is encrypted"):
        open_image(tmp_path / "a.mrxs")


def test_the_cache_keeps_to_its_limit() -> None:
    cache = TileCache(1000)
    for number in range(20):
        cache.get(("a", number), lambda: np.zeros(300, np.uint8))
    assert [key[1] for key in cache._held] == [17, 18, 19]
    assert cache.get(("a", 18), lambda: np.ones(1, np.uint8)).size == 300
