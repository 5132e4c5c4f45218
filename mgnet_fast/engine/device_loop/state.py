"""What stays on the device from stream to stream: slots, places, one graph per exit rule."""

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

_GRAPHS = 8  # captured graphs kept; more exit rules at a time are rare


class _Captured(NamedTuple):
    replay: Program
    constants: list[Tensor]  # read by the graph and owned by nobody else


class GraphState:
    """Shared by an engine and its copies with other exit rules; serves one stream at a time.

    Args:
        runner: takes the glimpses.
        slots: number of images in flight.
        device: makes the object that captures and replays a step.
        name: of the captured step, for errors.
        ring_bytes: the largest size of the places; larger images are read where they are.
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
                2 * slots + 1,  # the images present, and one for free slots to read
                config.in_chans,
                runner.device,
                one_size=config.glimpse_size is None,
                ring_bytes=ring_bytes,
            )
        )
        self._captured: dict[ExitDecision, _Captured] = {}
        self._memory: Tensor | ImagePool | None = None  # read by the captured graphs

    def begin(self) -> None:
        """Start a new stream."""
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
        """Prepare the step with ``decision``; no step may be running.

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
            saved = self.step.saved()  # restored after the warm-up steps
        replay = self._device.capture(partial(self.step, images, decision), self._name_with(images))
        with self._device.uploading(None):
            self.step.restore(saved)
        self._captured[decision] = _Captured(replay, known_constants())

    def launch(self, decision: ExitDecision, turn: int, control: Tensor) -> None:
        """Start a step; see :class:`GraphDevice`."""
        self._device.launch(self._captured[decision].replay, turn, control)

    def collect(self, turn: int) -> Tensor:
        """The record of the step of ``turn`` on the host, valid until the next step of that
        turn."""
        return self._device.collect(turn)

    def finish(self) -> None:
        """Wait for everything launched."""
        self._device.finish()

    def _name_with(self, images: Tensor | ImagePool) -> str:
        if isinstance(images, ImagePool):
            of = f"of several sizes (which needs Triton) in {len(images)} places"
        else:
            of = f"of shape {list(images.shape[1:])}"
        kind = str(images.dtype).removeprefix("torch.")
        return f"{self._name}, {self.step.slots} slots, {kind} images {of},"
