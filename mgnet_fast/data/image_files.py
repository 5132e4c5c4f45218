"""Finds image files and reads their pixels by Pillow."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

# fmt: off
SUFFIXES = frozenset((
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
    ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
))
# fmt: on
MOST_PIXELS = 1 << 30  # Pillow by itself refuses images of 179 megapixels
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def find_images(paths: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """The image files that ``paths`` stand for, and those of ``paths`` without any.

    A file stands for itself, whatever its suffix; a folder for all image files in it and its
    subfolders, sorted by name; anything else is a pattern (``*``, ``?``, ``[]``, ``**``). Folders
    and patterns skip hidden files and folders, whose names begin with a dot, such as macOS's
    ``._photo.jpg``.
    """
    found: list[Path] = []
    missing: list[str] = []
    for path in map(Path, paths):
        if path.is_dir():
            here = [each for each in sorted(path.rglob("*")) if _is_image_below(path, each)]
        elif path.exists():
            here = [path]
        else:
            matches = map(Path, sorted(glob.glob(str(path), recursive=True)))
            here = [each for each in matches if each.is_file() and not is_hidden(each.name)]
        found.extend(here)
        if not here:
            missing.append(str(path))
    return found, missing


def is_hidden(name: str) -> bool:
    """Whether a file or folder with this name is hidden."""
    return name.startswith(".")


def _is_image_below(folder: Path, path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    return not any(is_hidden(part) for part in path.relative_to(folder).parts)


def read_image(path: str | Path, channels: int) -> np.ndarray:
    """The pixels of an image file, uint8 [H, W, channels].

    Equal to ``Image.open(path).convert(mode)`` with mode "L", "RGB" or "RGBA" by the number of
    channels: transparency is dropped, not blended; the first of several frames counts; EXIF
    rotation is not applied. The exception is 16-bit grey images, which are scaled to 8 bits, as
    Pillow does with 16-bit colour images, instead of cut off at 255.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image or is damaged, or ``channels`` is not 1, 3 or 4.
    """
    image = open_image(path, channels)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def open_image(path: str | Path, channels: int) -> Image.Image:
    """The same as a decoded Pillow image in mode "L", "RGB" or "RGBA".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image or is damaged, or ``channels`` is not 1, 3 or 4.
    """
    mode = _MODES.get(channels)
    if mode is None:
        raise ValueError(f"channels must be 1, 3 or 4 to read image files, got {channels}")
    with _reasons(path), Image.open(path) as image:
        if image.mode == "I" or image.mode.startswith("I;16"):
            high = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
            return Image.fromarray(high.astype(np.uint8)).convert(mode)
        image.load()  # converting to the same mode would not decode it
        return image.convert(mode)


def check_image(path: str | Path) -> None:
    """Find damage by the cheapest decoding; a JPEG is not transformed to pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not an image, or is damaged.
    """
    with _reasons(path), Image.open(path) as image:
        image.draft("L", (1, 1))
        image.load()


@contextmanager
def _reasons(path: str | Path) -> Iterator[None]:
    """Turn the various errors of Pillow's decoders into ValueError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except MemoryError:
        raise ValueError("it does not fit into memory") from None
    except Exception as error:  # decoders raise many types
        reason = str(error).removesuffix(f" {str(path)!r}") or type(error).__name__
        raise ValueError(reason) from error


@contextmanager
def large_images() -> Iterator[None]:
    """Let Pillow open images of up to ``MOST_PIXELS``; its limit is global to the process."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns from here on and refuses twice as many
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
