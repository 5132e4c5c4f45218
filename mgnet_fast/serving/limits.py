"""How much the service takes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from .errors import TIMED_OUT, TOO_MANY, RequestError

RETRY_AFTER = "1"  # seconds


@dataclass(frozen=True)
class Limits:
    """The limits of a service.

    Attributes:
        queue: images that may wait for a slot.
        queue_bytes: bytes of bodies and decoded images in memory.
        body_bytes: of one request.
        pixels: of one image.
        seconds: for receiving a request, and for answering it.
        connections: open at once.

    Raises:
        ValueError: one is below 1, or ``seconds`` is not positive, or no body would fit into
            ``queue_bytes``.
    """

    queue: int = 256
    queue_bytes: int = 1 << 30
    body_bytes: int = 32 << 20
    pixels: int = 64_000_000
    seconds: float = 30.0
    connections: int = 1000

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not (value > 0 if each.name == "seconds" else value >= 1):
                wanted = "positive" if each.name == "seconds" else "at least 1"
                raise ValueError(f"{each.name} must be {wanted}, got {value}")
        if self.body_bytes > self.queue_bytes:
            raise ValueError(
                f"queue_bytes must be at least body_bytes = {self.body_bytes:,}, got "
                f"{self.queue_bytes:,}"
            )


class Room:
    """Counts the images that were accepted and not yet answered, and their bytes.

    Args:
        images: most images at once.
        num_bytes: most bytes at once.
    """

    def __init__(self, images: int, num_bytes: int) -> None:
        self.most_images, self.most_bytes = images, num_bytes
        self.images = self.num_bytes = 0
        self.lock = threading.Lock()

    @contextmanager
    def share(self) -> Iterator[Share]:
        """What one request takes; it is given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give_back()


class Share:
    """A request's part of the room. Threads may add to it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._images = self._num_bytes = 0
        self._is_over = False

    def add(self, images: int = 0, num_bytes: int = 0) -> None:
        """Take more.

        Raises:
            RequestError: there is no room, or the request is over.
        """
        room = self._room
        with room.lock:
            if self._is_over:
                raise RequestError(TIMED_OUT, "the request is over")
            many = images > 0 and room.images + images > room.most_images
            if many or (num_bytes > 0 and room.num_bytes + num_bytes > room.most_bytes):
                raise RequestError(
                    TOO_MANY,
                    f"the service is busy with {room.images} images; try again later",
                    {"Retry-After": RETRY_AFTER},
                )
            room.images += images
            room.num_bytes += num_bytes
            self._images += images
            self._num_bytes += num_bytes

    def give_back(self) -> None:
        """End."""
        with self._room.lock:
            self._is_over = True
            self._room.images -= self._images
            self._room.num_bytes -= self._num_bytes
