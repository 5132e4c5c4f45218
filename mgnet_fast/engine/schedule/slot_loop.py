"""A stream through the slots: results come in the order of the images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from ..exits import ExitDecision
from ..prediction import Prediction
from ..runners.runner import Runner
from .image_places import BatchPlaces, Places
from .intake import Intake
from .read_ahead import Source
from .slots import Slots


class SlotLoop:
    """Sends one stream through the slots.

    Args:
        runner: takes the glimpses.
        decision: when an image leaves.
        slots: largest number of images in flight.
        source: the images.
        places: their storage.
    """

    def __init__(
        self,
        runner: Runner,
        decision: ExitDecision,
        slots: int,
        source: Source[Any],
        places: Places,
    ) -> None:
        self._runner = runner
        self._decision = decision
        self._slots = Slots(runner, decision, slots, places)
        self._intake = Intake(source, places.put)
        self._finished: dict[int, Prediction] = {}  # results that wait for an earlier image

    def predictions(self) -> Iterator[Prediction]:
        """Yield the results in the order of the images.

        An error of the source is raised after the results of all earlier images.
        """
        following = 0
        while True:
            self._refill()
            if self._slots.in_flight:
                self._finished.update(self._slots.step())
            while following in self._finished:
                yield self._finished.pop(following)
                following += 1
            if self._intake.is_ended and not self._slots.in_flight:
                break
        if self._intake.error is not None:
            raise self._intake.error

    def _refill(self) -> None:
        """Fill free slots with the next images; wait only if there is none to process."""
        intake = self._intake
        while self._slots.has_room and not intake.is_ended:
            if self._slots.in_flight and not intake.is_ready():
                break
            image = intake.take()
            if image is None:
                break
            number, place = image
            if isinstance(place, Tensor):
                self._finished[number] = look_at_one(self._runner, self._decision, place)
                break
            self._slots.enter(number, place)


def look_at_one(runner: Runner, decision: ExitDecision, image: Tensor) -> Prediction:
    """All glimpses of an image [1, C, H, W] that is too large for a place."""
    return next(SlotLoop(runner, decision, 1, Source(range(1)), BatchPlaces(image)).predictions())
