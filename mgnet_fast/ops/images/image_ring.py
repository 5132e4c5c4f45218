"""A pool of fixed capacity whose places are used again and again, for streams of images."""

from __future__ import annotations

from collections import deque
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ..arguments import IMAGE_DTYPES, dtype_name, dtype_names
from .image_pool import ImagePool
from .pooled_image import check_image, check_same, size_of


class ImageRing(ImagePool):
    """An :class:`ImagePool` that images enter and leave; its memory is allocated once.

    Shapes never change, so a compiled program or a captured graph that reads the ring serves all
    images that come. The place that has been free longest is taken next. For one thread at a time;
    on a GPU the copies follow the work of the current stream.

    Args:
        places: how many images it holds at a time.
        pixels: height times width of the largest image that it takes.
        channels, dtype: of all images.
        device: where the pixels lie.

    ``len(ring)`` is ``places``. A region that looks at an empty place is a ValueError. A glimpse
    whose gradient is still wanted must be differentiated before ``put`` or ``release``.

    Raises:
        ValueError: a number below 1.
        TypeError: a dtype that images cannot have.
    """

    def __init__(
        self,
        places: int,
        pixels: int,
        *,
        channels: int = 3,
        dtype: torch.dtype = torch.uint8,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, value in (("places", places), ("pixels", pixels), ("channels", channels)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if dtype not in IMAGE_DTYPES:
            raise TypeError(f"dtype must be {dtype_names(IMAGE_DTYPES)}, got {dtype_name(dtype)}")
        self._allocate(places, places * pixels, channels, dtype, torch.device(device))
        self._place_pixels = pixels
        self._free = deque(range(places))

    @property
    def free(self) -> int:
        """How many images can be put in before one must be released."""
        return len(self._free)

    def put(self, image: Tensor | np.ndarray) -> int:
        """Copies ``image`` in, as :class:`ImagePool` takes them, and returns its index.

        Raises:
            TypeError: the wrong type or dtype.
            ValueError: the wrong shape or number of channels, or more pixels than a place has.
            RuntimeError: no place is free.
        """
        check_image("image", image)
        check_same("image", image, self.channels, self.dtype)
        _, height, width = size_of(image)
        if height * width > self._place_pixels:
            raise ValueError(
                f"image must have at most {self._place_pixels} pixels to fit into this ring, "
                f"got {height} x {width} = {height * width}"
            )
        if not self._free:
            raise RuntimeError(
                f"all {len(self)} places of the ring hold images; release one before putting "
                "another in"
            )
        place = self._free[0]
        self._store(place, place * self._place_pixels * self.channels, image)
        self._free.popleft()
        return place

    def release(self, index: int) -> None:
        """Gives the place of image ``index`` free.

        Raises:
            IndexError: there is no such image.
        """
        if not 0 <= index < len(self) or self._entries[index] is None:
            raise IndexError(f"index must be that of an image of the ring, got {index}")
        self._entries[index] = None
        self.table[index].zero_()
        self._free.append(index)

    def to(self, device: torch.device | str) -> Self:
        moved = super().to(device)
        if moved is not self:
            moved._free = deque(self._free)
        return moved
