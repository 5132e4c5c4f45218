"""Iteration-level scheduling: images at different glimpses share every step.

Each slot holds one image in flight. After each step, finished images leave and others may take
their slots.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..exits import ExitDecision
from ..prediction import Prediction, predictions
from ..runners.runner import Runner, StepInput
from ..runners.stepwise import StepwiseRunner
from .image_places import Places

# rows of a step are rounded up to multiples of slots / 8, to limit the number of shapes
_SHAPES = 8


class Slots:
    """The images in flight, by number.

    Rows 0..active-1 hold images when a step begins. Rows beyond only round up the number of rows:
    they read another row's image, and their results are ignored.

    Args:
        runner: takes the glimpses.
        decision: when an image leaves.
        count: largest number of images in flight.
        places: their storage.
    """

    def __init__(self, runner: Runner, decision: ExitDecision, count: int, places: Places) -> None:
        self._runner = runner
        self._decision = decision
        self._count = count
        self._places = places
        self._granule = -(-count // _SHAPES)
        self._device = runner.device
        self._active = 0
        self._holes: list[int] = []  # active rows whose image has left
        self._number = [-1] * count  # of each row's image
        self._answers: dict[int, list[Tensor]] = {}  # logits after each glimpse, where asked for
        with torch.inference_mode(False):
            self._tokens = runner.new_tokens(count)
            first = runner.initial_regions(1).cpu().numpy()[0]
        # The host decides which images leave and enter, so it keeps the small numbers. On a CPU
        # these arrays are the tensors of a step.
        self._first_region = first
        self._region = np.tile(first, (count, *[1] * first.ndim))
        self._length = np.ones(count, np.int64)
        self._place = np.zeros(count, np.int64)
        self._seen = np.zeros((count, decision.steps, *first.shape), np.float32)
        # The regions taken by networks with several looks per step.
        self._looks = runner.looks if isinstance(runner, StepwiseRunner) else None
        self._row = np.arange(count)
        self._views: dict[int, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    @property
    def in_flight(self) -> int:
        """Number of images in slots."""
        return self._active - len(self._holes)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return bool(self._holes) or self._active < self._count

    def enter(self, number: int, place: int, answers: list[Tensor] | None = None) -> None:
        """Give a free slot to the image ``number`` in ``place``; ``answers`` receives its logits
        [K] after each glimpse."""
        if self._holes:
            row = self._holes.pop()
        else:
            row = self._active
            self._active += 1
        self._number[row] = number
        self._region[row] = self._first_region
        self._length[row] = 1
        self._place[row] = place
        if answers is not None:
            self._answers[number] = answers

    def drop(self, number: int) -> None:
        """Free the slot of an image in flight, without a result."""
        self._free(self._number.index(number, 0, self._active))

    def step(self) -> list[tuple[int, Prediction]]:
        """Take one glimpse of every image in flight, of which there must be one; return those that
        leave, by number."""
        self._close_holes()
        active = self._active
        with torch.inference_mode():
            logits, following, length = self._glimpses()
            leaves = self._leaving(logits, length).cpu().numpy()
        self._seen[self._row[:active], self._length[:active] - 1] = self._region[:active]
        if self._answers:
            self._keep_answers(logits)
        leaving = leaves[:active].nonzero()[0]
        done = self._results(leaving, logits) if len(leaving) else []
        self._region[:active] = following.cpu().numpy()[:active]
        self._length[:active] += 1
        for row in leaving.tolist():
            self._free(row)
        return done

    def _free(self, row: int) -> None:
        self._places.release(int(self._place[row]))
        self._holes.append(row)
        self._answers.pop(self._number[row], None)

    def _keep_answers(self, logits: Tensor) -> None:
        for row in range(self._active):
            answers = self._answers.get(self._number[row])
            if answers is not None:
                answers.append(torch.tensor(logits[row].tolist()))

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

    def _leaving(self, logits: Tensor, length: Tensor) -> Tensor:
        leaves = self._decision(logits, length)
        if isinstance(self._runner, StepwiseRunner):
            allowed = self._runner.may_stop(self._tokens[: len(length)])
            leaves &= allowed | (length >= self._decision.steps)
        return leaves

    def _glimpses(self) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and next regions of at least the active rows, and their numbers of glimpses."""
        active = self._active
        rows = min(-(-active // self._granule) * self._granule, self._count)
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
