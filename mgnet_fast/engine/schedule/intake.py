"""Takes the images of a stream and handles its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .read_ahead import Source


class Intake:
    """Numbers the images of a stream as they are taken.

    An exception of the source, Ctrl-C included, or an image that does not fit ends the stream like
    its last image.

    Args:
        source: the images.
        put: stores an image; returns its place, or the image if it has to stay outside.

    Attributes:
        taken: number of images so far.
        is_ended: whether the stream has ended.
        error: the error that ended it, or None.
    """

    def __init__(self, source: Source[Any], put: Callable[[Any], int | Tensor]) -> None:
        self._source = source
        self._put = put
        self.taken = 0
        self.is_ended = False
        self.error: BaseException | None = None

    def is_ready(self) -> bool:
        """Whether :meth:`take` returns without waiting for another thread."""
        return self._source.is_ready()

    def take(self) -> tuple[int, int | Tensor] | None:
        """The number of the next image with its place or the image itself; None at the end."""
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
