"""Iteration-level scheduling: images at different glimpses share every step.

Each slot holds one image in flight. After each step, finished images leave and the next ones of the
stream take their slots. Results are returned in the order of the images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..exits import ExitDecision
from ..prediction import Prediction, predictions
from ..runners.runner import Runner, StepInput
from ..runners.stepwise import StepwiseRunner
from .image_places import BatchPlaces, Places
from .intake import Intake
from .read_ahead import Source

# rows of a step are rounded up to multiples of slots / 8, to limit the number of shapes
_SHAPES = 8


class SlotLoop:
    """Sends one stream through the slots.

    Rows 0..active-1 hold images when a step begins. Rows beyond only round up the number of rows:
    they read another row's image, and their results are ignored.

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
        self._slots = slots
        self._intake = Intake(source, places.put)
        self._places = places
        self._granule = -(-slots // _SHAPES)
        self._device = runner.device
        self._active = 0
        self._holes: list[int] = []  # active rows whose image has left
        self._number = [0] * slots  # the stream position of each row's image
        self._finished: dict[int, Prediction] = {}  # results that wait for an earlier image
        with torch.inference_mode(False):
            self._tokens = runner.new_tokens(slots)
            first = runner.initial_regions(1).cpu().numpy()[0]
        # The host decides which images leave and enter, so it keeps the small numbers. On a CPU
        # these arrays are the tensors of a step.
        self._first_region = first
        self._region = np.tile(first, (slots, *[1] * first.ndim))
        self._length = np.ones(slots, np.int64)
        self._place = np.zeros(slots, np.int64)
        self._seen = np.zeros((slots, decision.steps, *first.shape), np.float32)
        # The regions taken by networks with several looks per step.
        self._looks = runner.looks if isinstance(runner, StepwiseRunner) else None
        self._row = np.arange(slots)
        self._views: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def predictions(self) -> Iterator[Prediction]:
        """Yield the results in the order of the images.

        An error of the source is raised after the results of all earlier images.
        """
        following = 0
        while True:
            self._refill()
            if self._active:
                self._finished.update(self._step())
            while following in self._finished:
                yield self._finished.pop(following)
                following += 1
            if self._intake.is_ended and self._active == len(self._holes):
                break
        if self._intake.error is not None:
            raise self._intake.error

    def _refill(self) -> None:
        """Fill free rows with the next images; wait only if there is none to process."""
        intake = self._intake
        while (self._holes or self._active < self._slots) and not intake.is_ended:
            if self._active > len(self._holes) and not intake.is_ready():
                break
            image = intake.take()
            if image is None:
                break
            number, place = image
            if isinstance(place, Tensor):
                self._finished[number] = look_at_one(self._runner, self._decision, place)
                break
            if self._holes:
                row = self._holes.pop()
            else:
                row = self._active
                self._active += 1
            self._number[row] = number
            self._region[row] = self._first_region
            self._length[row] = 1
            self._place[row] = place
        self._close_holes()

    def _close_holes(self) -> None:
        """Move the last rows into the holes."""
        for row in sorted(self._holes, reverse=True):
            self._active -= 1
            last = self._active
            if row == last:
                continue
            for array in (self._region, self._length, self._place, self._seen):
                array[row] = array[last]
            self._tokens[row].copy_(self._tokens[last])
            self._number[row] = self._number[last]
        self._holes.clear()

    def _step(self) -> list[tuple[int, Prediction]]:
        """Take one glimpse of every image in flight; return those that leave, by number."""
        active = self._active
        with torch.inference_mode():
            logits, following, length = self._glimpses()
            leaves = self._leaving(logits, length).cpu().numpy()
        self._seen[self._row[:active], self._length[:active] - 1] = self._region[:active]
        leaving = leaves[:active].nonzero()[0]
        done = self._results(leaving, logits) if len(leaving) else []
        self._region[:active] = following.cpu().numpy()[:active]
        self._length[:active] += 1
        for row in leaving.tolist():
            self._places.release(int(self._place[row]))
            self._holes.append(row)
        return done

    def _leaving(self, logits: Tensor, length: Tensor) -> Tensor:
        leaves = self._decision(logits, length)
        if isinstance(self._runner, StepwiseRunner):
            allowed = self._runner.may_stop(self._tokens[: len(length)])
            leaves &= allowed | (length >= self._decision.steps)
        return leaves

    def _glimpses(self) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and next regions of at least the active rows, and their numbers of glimpses."""
        active = self._active
        rows = min(-(-active // self._granule) * self._granule, self._slots)
        if active < rows:
            # Any valid image will do: use the first row's.
            self._place[active:rows] = self._place[0]
            self._region[active:rows] = self._first_region
            self._length[active:rows] = 1
        tokens, region, length, place = self._step_inputs(rows)
        is_each = rows == self._places.count and bool((self._place == self._row).all())
        index = None if is_each else place
        given = StepInput(self._places.images, region, tokens, length, index)
        logits, following = self._runner.step(given)
        return logits, following, length

    def _step_inputs(self, rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens, regions, lengths and places of the first rows, on the device."""
        views = self._views.get(rows)
        if views is None:
            host = (self._region, self._length, self._place)
            region, length, place = (torch.from_numpy(array[:rows]) for array in host)
            views = self._views[rows] = (self._tokens[:rows], region, length, place)
        if self._device.type == "cpu":
            return views
        tokens, *others = views
        region, length, place = (each.to(self._device) for each in others)
        return tokens, region, length, place

    def _results(self, leaving: np.ndarray, logits: Tensor) -> list[tuple[int, Prediction]]:
        # Copied out together.
        chosen = logits.index_select(0, torch.from_numpy(leaving).to(logits.device)).cpu()
        seen = torch.from_numpy(self._seen[leaving])
        done = predictions(chosen, seen, self._length[leaving].tolist(), self._looks)
        return [(self._number[row], done[n]) for n, row in enumerate(leaving.tolist())]


def look_at_one(runner: Runner, decision: ExitDecision, image: Tensor) -> Prediction:
    """All glimpses of an image [1, C, H, W] that is too large for a place."""
    return next(SlotLoop(runner, decision, 1, Source(range(1)), BatchPlaces(image)).predictions())
