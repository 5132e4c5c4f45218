"""The images of a stream on their way into their places, and what ends the stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .read_ahead import Source


class Intake:
    """Numbers the images of a stream as they are taken.

    What interrupts the source, Ctrl-C included, and an image that does not fit, end the stream as
    its last image would.

    Args:
        source: the images.
        put: puts an image into a place: the place, or the image if it has to stay outside.

    Attributes:
        taken: how many images there have been.
        is_ended: there are no more.
        error: what the stream ended with, or None.
    """

    def __init__(self, source: Source[Any], put: Callable[[Any], int | Tensor]) -> None:
        self._source = source
        self._put = put
        self.taken = 0
        self.is_ended = False
        self.error: BaseException | None = None

    def is_ready(self) -> bool:
        """Whether :meth:`take` answers without waiting for another thread."""
        return self._source.is_ready()

    def take(self) -> tuple[int, int | Tensor] | None:
        """The number of the next image and its place, or itself; None if there is none."""
        try:
            place = self._put_in(self._source.take())
        except StopIteration:
            self.is_ended = True
            return None
        except BaseException as error:
            self.is_ended = True
            self.error = error
            return None
        self.taken += 1
        return self.taken - 1, place

    def _put_in(self, image: Any) -> int | Tensor:
        try:
            return self._put(image)
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {self.taken} of the stream: {error}") from None
