"""Files of which only what is looked at is decoded."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from mgnet_fast import glimpse, open_image
from mgnet_fast.data.reading import jpeg
from mgnet_fast.data.reading.options import ReadOptions
from mgnet_fast.data.reading.whole import read_image

REGIONS = ((1.0, 0.0, 0.0), (0.4, 0.2, -0.5), (0.25, -0.75, 0.75), (0.3, 0.1, 0.9, -0.02))


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth, so that scales of it differ little."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        np.sin(x / 37 + c) + np.cos(y / 29 - c) + np.sin((x + y) / 61) for c in range(channels)
    ]
    return (127 + 40 * np.stack(waves, axis=2)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path, **options)
    return path


def of_piece(path: Path, region: tuple[float, ...], size: tuple[int, int], **options: object):
    piece = open_image(path, **options).piece(region, size)
    pixels = torch.from_numpy(np.array(piece.pixels)).permute(2, 0, 1)[None]
    where = torch.tensor([piece.region], dtype=torch.float64)
    return glimpse(pixels, where, size, antialias=True)


def of_whole(path: Path, region: tuple[float, ...], size: tuple[int, int], **options: object):
    pixels = read_image(path, ReadOptions(**options))
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]
    return glimpse(image, torch.tensor([region], dtype=torch.float64), size, antialias=True)


@pytest.mark.parametrize("region", REGIONS, ids=str)
@pytest.mark.parametrize("size", [(28, 28), (9, 40), (150, 180)])
def test_pieces_of_whole_files_show_the_same(
    tmp_path: Path, region: tuple[float, ...], size: tuple[int, int]
) -> None:
    """A format of one scale: the piece is cut out, nothing else, so only rounding may differ."""
    path = write(tmp_path / "a.png", picture(301, 403))
    torch.testing.assert_close(
        of_piece(path, region, size), of_whole(path, region, size), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("region", REGIONS, ids=str)
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_scaled_jpegs_show_nearly_the_same(
    tmp_path: Path, region: tuple[float, ...], orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = write(tmp_path / "a.jpg", picture(1203, 1601), quality=95, exif=exif)
    for size in ((28, 28), (60, 40), (300, 300)):
        lazy, full = of_piece(path, region, size), of_whole(path, region, size)
        difference = (lazy - full)[0].abs()
        assert float(difference.max()) < 0.05  # of the outermost samples
        assert float(difference[:, 1:-1, 1:-1].max()) < 0.02


def test_scales_by_what_is_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", picture(1200, 1600))
    image = open_image(path)
    assert image.scales == (1, 2, 4, 8)
    assert image.piece((1, 0, 0), (28, 28)).pixels.shape[:2] == (152, 202)  # 1/8, and its edges
    assert 120 < image.piece((0.2, 0, 0), (120, 120)).pixels.shape[0] < 130  # 1/2
    assert image.shrunk((1, 0, 0), (100, 100)).shape == (600, 800, 3)  # the one that is held
    assert open_image(path).shrunk((1, 0, 0), (100, 100)).shape == (150, 200, 3)


def test_bytes_and_file_objects(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", picture(60, 80))
    data = path.read_bytes()
    wanted = open_image(path).pixels()
    assert np.array_equal(open_image(data).pixels(), wanted)
    assert np.array_equal(open_image(io.BytesIO(data)).pixels(), wanted)
    with path.open("rb") as file:
        assert open_image(file).name == str(path)
    assert "1,2" in repr(open_image(data)) or "bytes" in open_image(data).name


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2)])
def test_tiny_files(tmp_path: Path, shape: tuple[int, int], suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", picture(*shape, channels=1))
    for region in REGIONS:
        lazy, full = (f(path, region, (5, 7), channels=1) for f in (of_piece, of_whole))
        assert float((lazy - full).abs().max()) < 0.06


def test_65500_pixels_in_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", picture(1, 65500, channels=1))
    lazy, full = (f(path, REGIONS[1], (3, 50), channels=1) for f in (of_piece, of_whole))
    torch.testing.assert_close(lazy, full, atol=1e-6, rtol=0)


@pytest.mark.parametrize("region", [(float("nan"), 0, 0), (0.5, float("inf"), 0), (0.3, 5, 5)])
def test_regions_of_nothing(tmp_path: Path, region: tuple[float, ...]) -> None:
    path = write(tmp_path / "a.jpg", picture(600, 800))
    lazy, full = of_piece(path, region, (9, 9)), of_whole(path, region, (9, 9))
    assert torch.equal(lazy.isnan(), full.isnan())
    assert float((lazy - full).nan_to_num().abs().max()) < 0.03


@pytest.mark.parametrize("library", ["simplejpeg", "Pillow"])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_files(
    tmp_path: Path, suffix: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "Pillow":
        monkeypatch.setattr(jpeg, "_simplejpeg", lambda: None)
    else:
        pytest.importorskip("simplejpeg", reason="simplejpeg is not installed")
    path = write(tmp_path / f"a{suffix}", picture(300, 400))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"\w"):
        open_image(path).pixels()
    with pytest.raises(ValueError, match=r"\w"):
        read_image(path, ReadOptions())
    half = open_image(path, allow_truncated=True).pixels()
    assert half.shape == (300, 400, 3)
    whole = open_image(data).pixels()
    assert np.array_equal(half[:60], whole[:60])
    assert np.array_equal(read_image(path, ReadOptions(allow_truncated=True)), half)


def test_files_that_vanish_or_change(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", picture(30, 40))
    vanished, changed = open_image(path), open_image(path)
    write(path, picture(31, 40))
    with pytest.raises(ValueError, match="it has changed: 31 x 40 pixels now"):
        changed.pixels()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        vanished.pixels()
    with pytest.raises(FileNotFoundError):
        open_image(path)
    photograph = write(tmp_path / "b.jpg", picture(30, 40))
    image = open_image(photograph)
    photograph.unlink()
    assert image.pixels().shape == (30, 40, 3)  # its bytes were read at once


def test_lying_headers_and_bombs(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.png", picture(8, 8)).read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2  # 3,600 megapixels, which are not there
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"\w"):
        open_image(tmp_path / "a.png").pixels()
    for content in (b"", b"hello", b"\xff\xd8\xff\xe0", b"II*\x00", b"II*\x00" + bytes(60)):
        (tmp_path / "b.tif").write_bytes(content)
        with pytest.raises(ValueError, match=r"\w"):
            open_image(tmp_path / "b.tif")


def test_failures_wait_for_whoever_asks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", picture(300, 400))
    data = path.read_bytes()
    image = open_image(data[: len(data) // 3])
    image.prepare((0.5, 0, 0), (28, 28))
    assert image.error
    assert image.nbytes == 0


def test_other_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="channels must be 1, 3 or 4"):
        open_image(tmp_path / "a.png", channels=2)


def test_file_objects_are_left_open(tmp_path: Path) -> None:
    with write(tmp_path / "a.png", picture(8, 8)).open("rb") as file:
        open_image(file).pixels()
        assert not file.closed
    assert os.path.exists(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", [1, 8])
def test_windows(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = write(tmp_path / f"a{suffix}", picture(240, 320), exif=exif)
    image = open_image(path)
    whole = image.pixels()
    window = image.window(16, 8, 64, 48)
    assert (window.height, window.width) == (48, 64)
    assert np.array_equal(window.pixels(), whole[8:56, 16:80])
    window.close()
    assert np.array_equal(image.pixels(), whole)
    for box in ((-1, 0, 5, 5), (0, 0, 0, 5), (300, 0, 100, 5)):
        with pytest.raises(ValueError, match="a window must lie within"):
            image.window(*box)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_libraries_give_the_same_pixels(
    mode: str, progressive: bool, subsampling: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg", reason="simplejpeg is not installed")
    file = io.BytesIO()
    image = Image.fromarray(picture(203, 301)).convert(mode)
    image.save(file, "JPEG", progressive=progressive, subsampling=subsampling)
    cases = [(scale, channels) for scale in jpeg.SCALES for channels in (1, 3, 4)]
    fast = [jpeg.decode_jpeg(file.getvalue(), s, ReadOptions(c)) for s, c in cases]
    monkeypatch.setattr(jpeg, "_simplejpeg", lambda: None)
    for ours, (scale, channels) in zip(fast, cases, strict=True):
        assert ours.shape == (*jpeg.scaled_size(203, 301, scale), channels)
        assert np.array_equal(ours, jpeg.decode_jpeg(file.getvalue(), scale, ReadOptions(channels)))
