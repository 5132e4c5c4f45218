"""Places for a stream of image files, which are decoded as they are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.reading.file_image import FileImage
from ..runners.file_images import FileImages, Images
from .image_places import Places, StreamPlaces


class FilePlaces:
    """Up to ``count`` image files; see :class:`Places`."""

    def __init__(self, count: int, channels: int, device: torch.device) -> None:
        self.count = count
        self.images = FileImages(count, channels, device)
        self._free = list(range(count - 1, -1, -1))

    def put(self, image: Any) -> int:
        """See :class:`Places`.

        Raises:
            TypeError: it is no file.
            ValueError: it has another number of channels.
        """
        if not isinstance(image, FileImage):
            raise TypeError(
                "image must be a FileImage, as the first one of the stream is, got "
                f"{type(image).__name__}"
            )
        if image.channels != self.images.channels:
            raise ValueError(
                f"image must have the network's {self.images.channels} channels, got "
                f"{image.channels}"
            )
        place = self._free.pop()
        self.images.files[place] = image
        return place

    def release(self, place: int) -> None:
        """Close the file of a place."""
        file = self.images.files[place]
        if file is not None:
            file.close()
        self.images.files[place] = None
        self._free.append(place)


class FirstDecides:
    """Places for files if the first image of the stream is one, else for pixels in memory."""

    def __init__(self, files: FilePlaces, pixels: StreamPlaces) -> None:
        self.count = files.count
        self._files, self._pixels = files, pixels
        self._chosen: Places | None = None

    @property
    def images(self) -> Images:
        assert self._chosen is not None  # asked for once an image is there
        return self._chosen.images

    def put(self, image: Tensor | np.ndarray) -> int | Tensor:
        """See :class:`Places`."""
        if self._chosen is None:
            self._chosen = self._files if isinstance(image, FileImage) else self._pixels
        return self._chosen.put(image)

    def release(self, place: int) -> None:
        """Free a place."""
        assert self._chosen is not None
        self._chosen.release(place)


def prepared(
    images: Iterable[Any], size: tuple[int, int], region: Sequence[float]
) -> Iterator[Any]:
    """The images, of which files that decode at once have been decoded for looks at ``region``."""
    for image in images:
        if isinstance(image, FileImage):
            image.prepare(region, size)
        yield image


def decoded(images: Iterable[Any]) -> Iterator[Any]:
    """The images, files as their whole pixels."""
    for image in images:
        if not isinstance(image, FileImage):
            yield image
            continue
        pixels = image.pixels()
        image.close()
        yield pixels
