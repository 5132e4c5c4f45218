"""Image files in flight, and the sampling of a step from them or from pixels in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.reading.file_image import FileImage
from ...functional import glimpse
from ...models.network import sizes_of
from ...ops.images.image_pool import ImagePool

_NOTHING = np.zeros((2, 2, 1), np.uint8)


class FileImages:
    """Places for image files; each glimpse reads what it needs.

    A file that cannot be read gives NaN, and the reason is in its ``error``.

    Args:
        count: number of places.
        channels: of the files.
        device: where glimpses are taken.
    """

    dtype = torch.uint8

    def __init__(self, count: int, channels: int, device: torch.device) -> None:
        self.channels, self.device = channels, device
        self.files: list[FileImage | None] = [None] * count

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> Tensor:
        """The whole image [C, H, W]; NaN cannot be told in bytes, so a damaged file raises.

        Raises:
            ValueError: it cannot be read.
        """
        pixels = np.array(self._file(place).pixels())  # a copy: decoders give read-only views
        return torch.from_numpy(pixels).permute(2, 0, 1).to(self.device)

    def sizes(self, places: Tensor) -> Tensor:
        """H and W in pixels of the images in ``places`` [S], int64 [S, 2]."""
        files = map(self._file, places.tolist())
        return torch.tensor([(file.height, file.width) for file in files], device=self.device)

    def glimpses(
        self, region: Tensor, size: tuple[int, int], image_index: Tensor | None, **options: Any
    ) -> Tensor:
        """See :func:`mgnet_fast.glimpse`; ``align_corners`` is True, padding with zeros."""
        rows = region.tolist()
        places = range(len(rows)) if image_index is None else image_index.tolist()
        pieces = [self._piece(place, row, size) for place, row in zip(places, rows, strict=True)]
        pool = ImagePool([pixels for pixels, _ in pieces], device=self.device)
        where = torch.tensor([row for _, row in pieces], dtype=torch.float64, device=self.device)
        return glimpse(pool, where, size, **options)

    def _piece(
        self, place: int, region: Sequence[float], size: tuple[int, int]
    ) -> tuple[np.ndarray, Sequence[float]]:
        file = self._file(place)
        if file.error is None:
            try:
                return file.piece(region, size)
            except (ValueError, OSError) as error:
                file.fail(error)
        return np.broadcast_to(_NOTHING, (2, 2, self.channels)), (math.nan,) * 4

    def _file(self, place: int) -> FileImage:
        file = self.files[place]
        if file is None:
            raise ValueError(f"image_index must name a place with an image, got {place}")
        return file


Images = Tensor | ImagePool | FileImages


def sizes_of_images(images: Images, places: Tensor) -> Tensor:
    """H and W in pixels of the images in ``places`` (int64 [S]), int64 [S, 2]."""
    if isinstance(images, FileImages):
        return images.sizes(places)
    if isinstance(images, ImagePool):
        return images.table[places, 1:3]
    return sizes_of(images[:1]).expand(len(places), 2)


def sampled(
    images: Images,
    region: Tensor,
    size: tuple[int, int],
    image_index: Tensor | None,
    **options: Any,
) -> Tensor:
    """Glimpses [S, C, h, w] of the images of a step, see :func:`mgnet_fast.glimpse`."""
    if isinstance(images, FileImages):
        return images.glimpses(region, size, image_index, **options)
    return glimpse(images, region, size, image_index=image_index, **options)
