"""Image files of every kind, as pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgnet_fast.data.image_files import find_images
from mgnet_fast.data.reading.errors import large_images
from mgnet_fast.data.reading.options import ReadOptions
from mgnet_fast.data.reading.whole import read_image

RAMP = np.arange(60, dtype=np.uint8).reshape(5, 12) * 4


def write(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_as_pillow_converts(tmp_path: Path, mode: str, channels: int) -> None:
    path = write(tmp_path / "a.png", Image.fromarray(RAMP).convert(mode))
    pixels = read_image(path, ReadOptions(channels))
    assert (pixels.shape, pixels.dtype) == ((5, 12, channels), np.uint8)
    wanted = Image.open(path).convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    assert (pixels.squeeze() == np.asarray(wanted)).all()


def test_cmyk(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", Image.fromarray(RAMP).convert("CMYK"))
    assert (read_image(path, ReadOptions(1))[:, :, 0] == RAMP).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_of_16_bits_is_scaled(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", Image.fromarray(RAMP.astype(np.uint16) * 257))
    for channels in (1, 3):
        assert (read_image(path, ReadOptions(channels)) == RAMP[:, :, None]).all()


def test_one_pixel(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", Image.new("L", (1, 1), 7))
    assert read_image(path, ReadOptions(1)).tolist() == [[[7]]]


def test_300_megapixels_are_read(tmp_path: Path) -> None:
    """As one bit each here, which is quick to write."""
    path = write(tmp_path / "a.tif", Image.new("1", (20_000, 15_000), 1))
    with pytest.raises(ValueError, match="exceeds limit"):
        read_image(path, ReadOptions(1))
    before = Image.MAX_IMAGE_PIXELS
    with large_images():
        pixels = read_image(path, ReadOptions(1))
    assert before == Image.MAX_IMAGE_PIXELS
    assert pixels.shape == (15_000, 20_000, 1)
    assert pixels[::1000, ::1000].min() == 255


def test_damaged_files(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.png", Image.effect_noise((64, 64), 50)).read_bytes()
    for name, content in (
        ("cut.png", whole[: len(whole) // 2]),
        ("head.png", whole[:20]),
        ("text.png", b"hello"),
        ("empty.png", b""),
        ("bits.png", whole[:100] + bytes(200) + whole[300:]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"\w"):
            read_image(tmp_path / name, ReadOptions(1))


def test_absent_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "absent.png", ReadOptions(1))


def test_channels_that_no_mode_has(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="channels must be 1, 3 or 4 to read image files, got 2"):
        read_image(tmp_path / "a.png", ReadOptions(2))


def test_files_folders_and_patterns(tmp_path: Path) -> None:
    names = ("b/2.png", "b/1.JPG", "b/c/3.webp", "b/notes.txt", "a.bin", "d [1].png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    asked = ["b", "a.bin", "*/*.png", "d [1].png", "absent.png", "none*"]
    found, missing = find_images([tmp_path / each for each in asked])
    assert [each.relative_to(tmp_path).as_posix() for each in found] == [
        *("b/1.JPG", "b/2.png", "b/c/3.webp"),
        *("a.bin", "b/2.png", "d [1].png"),
    ]
    assert missing == [str(tmp_path / "absent.png"), str(tmp_path / "none*")]
