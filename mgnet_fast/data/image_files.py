"""Image files of any kind as pixels: finding them, and reading them as Pillow does."""

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
    """The image files that ``paths`` name, and those of ``paths`` that name none.

    A file stands for itself, whatever its name; a folder for all image files in it and in its
    folders, in the order of their names; anything else is taken for a pattern (``*``, ``?``,
    ``[]``, ``**``). Folders and patterns skip hidden files and folders, whose names begin with a
    dot, such as the ``._photo.jpg`` that macOS leaves beside a photo.
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
    """Whether a file or folder of this name is hidden."""
    return name.startswith(".")


def _is_image_below(folder: Path, path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    return not any(is_hidden(part) for part in path.relative_to(folder).parts)


def read_image(path: str | Path, channels: int) -> np.ndarray:
    """The pixels of an image file, uint8 [H, W, channels].

    As ``Image.open(path).convert(mode)`` gives them, with mode "L", "RGB" or "RGBA" by the number
    of channels: transparency is dropped, not blended; the first frame of several; no rotation by
    EXIF. Only grey images of 16 bits are scaled to 8 instead of cut off at 255, as Pillow itself
    does with colour images of 16 bits.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image, or a damaged one; or ``channels`` is not 1, 3 or 4.
    """
    image = open_image(path, channels)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def open_image(path: str | Path, channels: int) -> Image.Image:
    """The same as an image of Pillow's, decoded, in mode "L", "RGB" or "RGBA".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image, or a damaged one; or ``channels`` is not 1, 3 or 4.
    """
    mode = _MODES.get(channels)
    if mode is None:
        raise ValueError(f"channels must be 1, 3 or 4 to read image files, got {channels}")
    with _reasons(path), Image.open(path) as image:
        if image.mode == "I" or image.mode.startswith("I;16"):
            high = np.asarray(image).astype(np.int64).clip(0, 65535) >> 8
            return Image.fromarray(high.astype(np.uint8)).convert(mode)
        image.load()  # conversion to the mode it has would leave it to be decoded later
        return image.convert(mode)


def check_image(path: str | Path) -> None:
    """Decodes an image file as cheaply as finds damage; a JPEG is not transformed to pixels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image, or a damaged one.
    """
    with _reasons(path), Image.open(path) as image:
        image.draft("L", (1, 1))
        image.load()


@contextmanager
def _reasons(path: str | Path) -> Iterator[None]:
    """Makes one kind of error of those that Pillow's decoders raise."""
    try:
        yield
    except FileNotFoundError:
        raise
    except MemoryError:
        raise ValueError("it does not fit into memory") from None
    except Exception as error:  # decoders raise whatever they stumble on
        reason = str(error).removesuffix(f" {str(path)!r}") or type(error).__name__
        raise ValueError(reason) from error


@contextmanager
def large_images() -> Iterator[None]:
    """Lets Pillow open images of up to ``MOST_PIXELS`` inside; the limit is one of the process."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # it refuses twice as many, and warns from here on
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
