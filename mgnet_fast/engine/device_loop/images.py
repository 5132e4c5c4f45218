"""Image places whose addresses stay the same from stream to stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from ...ops.images.image_pool import ImagePool
from ..schedule.image_places import StreamPlaces


class GraphImages:
    """Copies of the images of one stream after another, in memory that a graph can read.

    The memory is allocated for the first image of a stream and reused by later streams whose first
    image fits. ``memory`` is a new object whenever it has moved.

    Args:
        make: returns new, empty places.
    """

    def __init__(self, make: Callable[[], StreamPlaces]) -> None:
        self._make = make
        self._places = make()
        self._held: set[int] = set()
        self._is_first = True

    @property
    def memory(self) -> Tensor | ImagePool:
        return self._places.images

    def begin(self) -> None:
        """Start a new stream and forget the images of the previous one."""
        for place in tuple(self._held):
            self.release(place)
        self._is_first = True

    def put(self, image: Tensor | np.ndarray) -> int | Tensor:
        """Like :meth:`StreamPlaces.put`; the first image of a stream may have another shape or
        dtype.

        Raises:
            TypeError, ValueError: not an image, or unlike earlier ones of this stream.
        """
        if self._is_first and not self._places.suits(image):
            self._places = self._make()
        place = self._places.put(image)
        self._is_first = False
        if not isinstance(place, Tensor):
            self._held.add(place)
        return place

    def put_all(self, images: Tensor) -> list[int] | None:
        """The places of ``images`` [n, C, H, W], copied together; None if they are too large for
        a place."""
        if self._is_first and not self._places.has_stack_for(images):
            self._places = self._make()
        self._is_first = False
        places = self._places.put_all(images)
        if places is not None:
            self._held.update(places)
        return places

    def release(self, place: int) -> None:
        self._held.remove(place)
        self._places.release(place)
