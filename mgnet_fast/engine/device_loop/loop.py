"""A stream through slots that decide on the device; results are read one step late.

While a step runs, the host reads the results of the step before, puts the next images into the free
places, and launches the following step. It waits only for the step whose results it reads, and by
then the next one is already running.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ..exits import ExitDecision
from ..prediction import Prediction, predictions
from ..schedule.intake import Intake
from ..schedule.read_ahead import Source
from ..schedule.slot_loop import look_at_one
from .state import GraphState
from .step import TURNS


class GraphLoop:
    """Sends one stream through the slots of ``state``, which serves one stream at a time.

    An image counts as present from when it gets a place until its result is read: in the queue, in
    a slot, or released by a step whose record is still unread. Two per slot keep every slot busy
    while images arrive.

    Args:
        state: slots, places, captured graphs.
        decision: when an image leaves.
        source: the images; ignored with a batch.
        batch: [B, C, H, W] on the device, instead of a source; many images are copied at once.
    """

    def __init__(
        self,
        state: GraphState,
        decision: ExitDecision,
        source: Source[Any],
        batch: Tensor | None = None,
    ) -> None:
        self._state = state
        self._decision = decision
        self._slots = state.step.slots
        self._batch = batch
        self._intake = Intake(source, state.put)
        self._number: dict[int, int] = {}  # the image number of each place in use
        self._line: deque[int] = deque()  # places of images not yet seen in a slot
        self._lined_up = 0  # total number of images queued so far
        self._lengths: list[int] = []  # of the images still in slots after the last record
        self._launched = self._collected = 0
        self._shown = -1  # the place that free slots read in the newest step
        self._left: list[int] = []  # released places that free slots still read
        self._finished: dict[int, Prediction] = {}
        self._control = torch.zeros_like(state.step.control, device="cpu")

    def predictions(self) -> Iterator[Prediction]:
        """Yield the results in the order of the images.

        An error of the source is raised after the results of all earlier images.
        """
        following = 0
        self._state.begin()
        try:
            while True:
                if self._batch is None:
                    self._fill()
                else:
                    self._fill_from(self._batch)
                launches = self._may_find_work()
                if launches:
                    self._launch()
                if self._launched > self._collected + launches:
                    self._collect()
                while following in self._finished:
                    yield self._finished.pop(following)
                    following += 1
                if self._is_ended() and self._launched == self._collected and not self._number:
                    break
        finally:
            self._state.finish()
        if self._intake.error is not None:
            raise self._intake.error

    def _room(self) -> int:
        """How many more images may enter. Before the first step, no more than it can admit."""
        limit = 2 * self._slots if self._launched > self._collected else self._slots
        return limit - len(self._number)

    def _is_ended(self) -> bool:
        return self._intake.is_ended or (
            self._batch is not None and self._intake.taken == len(self._batch)
        )

    def _fill(self) -> None:
        """Take images from the source; wait for one only if nothing else is left to do."""
        intake = self._intake
        while self._room() > 0 and not intake.is_ended:
            if self._number and not intake.is_ready():
                break
            image = intake.take()
            if image is None:
                break
            number, place = image
            if isinstance(place, Tensor):
                self._finished[number] = look_at_one(self._state.step.runner, self._decision, place)
                break
            self._line_up(number, place)

    def _fill_from(self, batch: Tensor) -> None:
        intake = self._intake
        images = batch[intake.taken : intake.taken + max(self._room(), 0)]
        if len(images) == 0:
            return
        places = self._state.put_all(images)
        if places is None:  # too large to be copied
            runner = self._state.step.runner
            found = look_at_one(runner, self._decision, images[:1])
            self._finished[intake.taken] = found
            intake.taken += 1
            return
        for place in places:
            self._line_up(intake.taken, place)
            intake.taken += 1

    def _line_up(self, number: int, place: int) -> None:
        self._number[place] = number
        self._line.append(place)
        self._lined_up += 1

    def _may_find_work(self) -> bool:
        """Whether a step launched now may have an image."""
        if self._launched == self._collected:
            return bool(self._lengths or self._line)
        # The running step admits what it can, and certainly releases images at their last glimpse.
        entering = min(self._slots - len(self._lengths), len(self._line))
        may_stay = any(length < self._decision.steps for length in self._lengths)
        return may_stay or len(self._line) > entering or (entering > 0 and self._decision.steps > 1)

    def _launch(self) -> None:
        if not self._state.is_captured(self._decision):
            while self._launched > self._collected:
                self._collect()
            self._state.capture(self._decision)
        control = self._control
        control[0] = self._lined_up - len(self._line)
        control[1] = self._lined_up
        self._shown = next(reversed(self._number))
        control[2] = self._shown
        places = torch.tensor(list(islice(self._line, 2 * self._slots)), dtype=torch.int64)
        control[3 : 3 + len(places)] = places
        self._state.launch(self._decision, self._launched % TURNS, control)
        self._launched += 1

    def _collect(self) -> None:
        """Read the oldest unread record."""
        record = self._state.collect(self._collected % TURNS)
        self._collected += 1
        for place in self._left:
            self._state.release(place)
        self._left.clear()
        step = self._state.step
        state = record[:, -2:].long()
        lengths = state[:, 1]
        for _ in range(int((lengths.abs() == 1).sum())):
            self._line.popleft()
        self._lengths = (lengths[lengths > 0] + 1).tolist()
        leaving = (lengths < 0).nonzero().flatten()
        rows = record.index_select(0, leaving)
        seen = rows[:, step.classes : -2].unflatten(1, (step.glimpses, -1))
        places, counts = state[leaving, 0].tolist(), (-lengths[leaving]).tolist()
        found = predictions(rows[:, : step.classes], seen, counts)
        for place, result in zip(places, found, strict=True):
            self._finished[self._number.pop(place)] = result
            if place == self._shown and self._launched > self._collected:
                self._left.append(place)
            else:
                self._state.release(place)
