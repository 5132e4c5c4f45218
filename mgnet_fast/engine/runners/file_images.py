"""Image files in flight, and the sampling of a step from them or from pixels in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.reading.file_image import FileImage
from ...data.reading.levels import four_numbers
from ...functional import glimpse
from ...models.network import sizes_of
from ...ops.images.image_pool import ImagePool

_NOTHING = np.zeros((2, 2, 1), np.uint8)
Region = tuple[float, float, float, float]


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
        """See :func:`mgnet_fast.glimpse`; padding with zeros."""
        rows = region.tolist()
        places = range(len(rows)) if image_index is None else image_index.tolist()
        has_corners = options.get("align_corners", True)
        pieces = [
            self._piece(place, four_numbers(row), size, has_corners)
            for place, row in zip(places, rows, strict=True)
        ]
        pool = ImagePool([pixels for pixels, _ in pieces], device=self.device)
        where = torch.tensor([row for _, row in pieces], dtype=torch.float64, device=self.device)
        return glimpse(pool, where, size, **options)

    def _piece(
        self, place: int, region: Region, size: tuple[int, int], has_corners: bool
    ) -> tuple[np.ndarray, Region]:
        file = self._file(place)
        if file.error is None:
            try:
                if has_corners:
                    return file.piece(region, size)
                pixels, found = file.piece(
                    _to_corners(region, (file.height, file.width), size), size
                )
                return pixels, _from_corners(found, pixels.shape[:2], size)
            except (ValueError, OSError) as error:
                file.fail(error)
        return np.broadcast_to(_NOTHING, (2, 2, self.channels)), (math.nan,) * 4

    def _file(self, place: int) -> FileImage:
        file = self.files[place]
        if file is None:
            raise ValueError(f"image_index must name a place with an image, got {place}")
        return file


def _to_corners(region: Region, pixels: tuple[int, ...], samples: tuple[int, int]) -> Region:
    """The region whose samples with ``align_corners`` are those of ``region`` without.

    Without, samples are at ((x + s g + 1) P - 1) / 2 in pixels, g from 1/n - 1 to 1 - 1/n; with, at
    (x + s g + 1) (P - 1) / 2, g from -1 to 1.
    """
    scale_x, scale_y, x, y = region
    (rows, columns), (down, across) = pixels, samples
    return (
        scale_x * (1 - 1 / across) * columns / max(columns - 1, 1),
        scale_y * (1 - 1 / down) * rows / max(rows - 1, 1),
        x * columns / max(columns - 1, 1),
        y * rows / max(rows - 1, 1),
    )


def _from_corners(region: Region, pixels: tuple[int, ...], samples: tuple[int, int]) -> Region:
    """The inverse of :func:`_to_corners`."""
    scale_x, scale_y, x, y = region
    (rows, columns), (down, across) = pixels, samples
    return (
        scale_x / (1 - 1 / across) * max(columns - 1, 1) / columns,
        scale_y / (1 - 1 / down) * max(rows - 1, 1) / rows,
        x * max(columns - 1, 1) / columns,
        y * max(rows - 1, 1) / rows,
    )


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
