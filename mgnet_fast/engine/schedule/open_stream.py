"""Images that enter and leave one by one, in any order: what a service needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...data.reading.file_image import FileImage
from ..exits import ExitDecision
from ..prediction import Prediction
from ..runners.runner import Runner
from .file_places import decoded
from .image_places import BatchPlaces, Places
from .slots import Slots


class Left(NamedTuple):
    """An image that has left.

    Attributes:
        number: what :meth:`OpenStream.enter` returned for it.
        prediction: its result.
        answers (Tensor[glimpses, K] | None): its logits after each glimpse, if asked for.
    """

    number: int
    prediction: Prediction
    answers: Tensor | None


class Failed(NamedTuple):
    """An image that has left because the network failed on it."""

    number: int
    error: Exception


class OpenStream:
    """Images enter when a slot is free, and their results come as they leave.

    Images of all forms that :meth:`Engine.stream` takes may be in flight at once. Those of one form
    (a dtype, files, and for networks without a glimpse size of their own one size) share a step;
    :meth:`step` takes one of each form. For use by one thread.

    Args:
        runner: takes the glimpses.
        decision: when an image leaves.
        slots: largest number of images in flight.
        new_places: makes storage for one form.
        one_size: whether images of different sizes cannot share a step.
    """

    def __init__(
        self,
        runner: Runner,
        decision: ExitDecision,
        slots: int,
        new_places: Callable[[], Places],
        *,
        one_size: bool,
    ) -> None:
        self._runner, self._decision = runner, decision
        self._count = slots
        self._new_places = new_places
        self._one_size = one_size
        self._forms: dict[Any, tuple[Slots, Places]] = {}
        self._alone: list[Slots] = []  # of images too large for a place
        self._slots_of: dict[int, Slots] = {}  # of each image in flight
        self._answers: dict[int, list[Tensor]] = {}
        self._next = 0

    @property
    def free(self) -> int:
        """How many images may enter now."""
        return self._count - len(self._slots_of)

    @property
    def in_flight(self) -> int:
        """Number of images in slots."""
        return len(self._slots_of)

    def enter(self, image: Tensor | np.ndarray | FileImage, *, every_answer: bool = False) -> int:
        """Give a free slot to an image; the number under which it will leave.

        Args:
            image: see :meth:`Engine.stream`.
            every_answer: whether to keep its logits after each glimpse.

        Raises:
            RuntimeError: no slot is free.
            TypeError, ValueError: the image does not fit; others are not affected.
        """
        if not self.free:
            raise RuntimeError(f"all {self._count} slots hold an image")
        if self._one_size and isinstance(image, FileImage):
            (image,) = decoded([image])  # its glimpses are the whole image
        slots, places = self._form(image)
        place = places.put(image)  # type: ignore[arg-type]  # files have places of their own
        if isinstance(place, Tensor):
            slots = Slots(self._runner, self._decision, 1, BatchPlaces(place))
            self._alone.append(slots)
            place = 0
        number = self._next
        self._next += 1
        answers: list[Tensor] | None = None
        if every_answer:
            answers = self._answers[number] = []
        slots.enter(number, place, answers)
        self._slots_of[number] = slots
        return number

    def drop(self, number: int) -> None:
        """Free the slot of an image in flight, without a result."""
        self._slots_of.pop(number).drop(number)
        self._answers.pop(number, None)
        self._alone = [each for each in self._alone if each.in_flight]

    def step(self) -> list[Left | Failed]:
        """Take one glimpse of every image in flight; those that leave.

        If the network fails on the images of one form, these leave as :class:`Failed`.
        """
        left: list[Left | Failed] = []
        for slots in (*(slots for slots, _ in self._forms.values()), *self._alone):
            if not slots.in_flight:
                continue
            try:
                done = slots.step()
            except Exception as error:
                left += self._failed(slots, error)
                continue
            for number, prediction in done:
                del self._slots_of[number]
                answers = self._answers.pop(number, None)
                kept = None if answers is None else torch.stack(answers)
                left.append(Left(number, prediction, kept))
        self._alone = [each for each in self._alone if each.in_flight]
        return left

    def _failed(self, slots: Slots, error: Exception) -> list[Failed]:
        numbers = [number for number, its in self._slots_of.items() if its is slots]
        for number in numbers:
            self.drop(number)
        return [Failed(number, error) for number in numbers]

    def _form(self, image: Tensor | np.ndarray | FileImage) -> tuple[Slots, Places]:
        """Slots and places of the images like this one."""
        form: Any = FileImage
        if not isinstance(image, FileImage):
            shape = getattr(image, "shape", None) if self._one_size else None
            form = str(getattr(image, "dtype", None)).removeprefix("torch."), shape
        found = self._forms.get(form)
        if found is None:
            # What the forms before need is given back, so memory does not grow with their number.
            self._forms = {key: each for key, each in self._forms.items() if each[0].in_flight}
            places = self._new_places()
            slots = Slots(self._runner, self._decision, self._count, places)
            found = self._forms[form] = slots, places
        return found
