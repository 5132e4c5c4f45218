"""What stays on the device from stream to stream: slots, places, and a graph for each exit rule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ...ops.images.image_pool import ImagePool
from ...ops.resolve import known_constants
from ..exits import ExitDecision
from ..runners.runner import Runner
from ..schedule.image_places import RING_BYTES, StreamPlaces
from .device import GraphDevice, Program
from .images import GraphImages
from .step import GraphStep

_GRAPHS = 8  # kept; an engine rarely has more rules in use


class _Captured(NamedTuple):
    replay: Program
    constants: list[Tensor]  # that it reads and nobody else need keep


class GraphState:
    """One for an engine and its copies with other exit rules; for one stream at a time.

    Args:
        runner: takes the glimpses.
        slots: images in flight.
        device: makes, of the step, what captures and replays it.
        name: of what is captured, for errors.
        ring_bytes: the most that places take; larger images are looked at where they are.
    """

    def __init__(
        self,
        runner: Runner,
        slots: int,
        device: Callable[[GraphStep], GraphDevice],
        name: str,
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self.step = GraphStep(runner, slots)
        self._device = device(self.step)
        self._name = name
        config = runner.config
        self._images = GraphImages(
            partial(
                StreamPlaces,
                2 * slots + 1,  # those in the house, and one that free slots look at
                config.in_chans,
                runner.device,
                one_size=config.glimpse_size is None,
                ring_bytes=ring_bytes,
            )
        )
        self._captured: dict[ExitDecision, _Captured] = {}
        self._memory: Tensor | ImagePool | None = None  # what the captured graphs read

    def begin(self) -> None:
        """A new stream."""
        with self._device.uploading(None):
            self.step.reset()
            self._images.begin()

    def put(self, image: Tensor | np.ndarray) -> int | Tensor:
        """See :meth:`GraphImages.put`."""
        with self._device.uploading(image):
            return self._images.put(image)

    def put_all(self, images: Tensor) -> list[int] | None:
        """See :meth:`GraphImages.put_all`."""
        with self._device.uploading(images):
            return self._images.put_all(images)

    def release(self, place: int) -> None:
        with self._device.uploading(None):
            self._images.release(place)

    def is_captured(self, decision: ExitDecision) -> bool:
        return self._memory is self._images.memory and decision in self._captured

    def capture(self, decision: ExitDecision) -> None:
        """Makes the step with ``decision`` ready; no step may be under way.

        Raises:
            RuntimeError: it cannot be captured.
        """
        self._device.finish()
        images = self._images.memory
        if images is not self._memory:
            self._captured.clear()
            self._memory = images
        while len(self._captured) >= _GRAPHS:
            del self._captured[next(iter(self._captured))]
        with self._device.uploading(None):
            saved = self.step.saved()  # steps are run to warm up
        replay = self._device.capture(partial(self.step, images, decision), self._name_with(images))
        with self._device.uploading(None):
            self.step.restore(saved)
        self._captured[decision] = _Captured(replay, known_constants())

    def launch(self, decision: ExitDecision, turn: int, control: Tensor) -> None:
        """Starts a step; see :class:`GraphDevice`."""
        self._device.launch(self._captured[decision].replay, turn, control)

    def collect(self, turn: int) -> Tensor:
        """The record of the step of ``turn``, on the host, until the next one of that turn."""
        return self._device.collect(turn)

    def finish(self) -> None:
        """Waits for what is under way."""
        self._device.finish()

    def _name_with(self, images: Tensor | ImagePool) -> str:
        if isinstance(images, ImagePool):
            of = f"of several sizes (which needs Triton) in {len(images)} places"
        else:
            of = f"of shape {list(images.shape[1:])}"
        kind = str(images.dtype).removeprefix("torch.")
        return f"{self._name}, {self.step.slots} slots, {kind} images {of},"
