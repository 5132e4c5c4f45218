"""One kind of error for what the many decoders raise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile, UnidentifiedImageError

MOST_PIXELS = 1 << 30  # to decode at once; Pillow by itself refuses images of 179 megapixels


@contextmanager
def reasons(name: str) -> Iterator[None]:
    """Turn the various errors of decoders into ValueError.

    Raises:
        FileNotFoundError: as it is.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except UnidentifiedImageError:  # says where in memory the file was
        raise ValueError("cannot identify image file") from None
    except MemoryError:
        raise ValueError("it does not fit into memory") from None
    except Exception as error:  # decoders raise many types
        reason = str(error).removesuffix(f" {name!r}") or type(error).__name__
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


@contextmanager
def truncated_images(allow: bool) -> Iterator[None]:
    """Let Pillow decode what is there of a truncated file; a switch global to the process."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = before or allow
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
