"""A step that decides for itself: who enters, what is seen, who leaves, all in device memory.

:class:`~mgnet_fast.engine.slots.SlotLoop` decides on the host after every step, so the device waits
for the host and the host for the device. Here a step admits the images that wait, takes a glimpse
of each slot's, and lets go of those that are sure, without the host: its shapes and addresses never
change, so that it can be captured in a CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..image_pool import ImagePool
from .exits import ExitDecision
from .runner import Runner

TURNS = 2  # steps under way at a time: one runs while the results of the one before are read


class GraphStep:
    """The memory of ``slots`` slots and the program of a step over it.

    The images of a stream that have been put into their places wait in a line; the host gives the
    part of the line that slots may reach (``control``) before each step. A slot is free where
    ``length`` is 0: it is run like the others, its NaN are read by nobody.

    Args:
        runner: takes the glimpses.
        slots: images in flight.

    Attributes:
        control (int64 [3 + 2 slots]): how many images had left the line where the part begins, how
            many there have been in all, the place that free slots look at, and the places of the
            images in the part.
        records (float32 [TURNS, slots, columns]): written in turn, a row for each slot: its logits
            [K], the regions that it has looked at [3 T], the place of its image, and its length:
            negative if the image leaves, 0 if there is none.
    """

    def __init__(self, runner: Runner, slots: int) -> None:
        self.runner = runner
        self.slots = slots
        self.classes = runner.num_classes
        self.glimpses = runner.config.num_glimpses
        device = runner.device
        with torch.inference_mode(False):
            self._first_region = runner.initial_regions(1)
            numbers = self._first_region.shape[1]
            self._tokens = runner.new_tokens(slots)
            self._region = self._first_region.repeat(slots, 1)
            self._seen = torch.zeros(slots, self.glimpses, numbers, device=device)
            self._length = torch.zeros(slots, dtype=torch.int64, device=device)
            self._place = torch.zeros_like(self._length)
            self._admitted = torch.zeros(1, dtype=torch.int64, device=device)
            self._turn = torch.zeros_like(self._admitted)
            self._glimpse = torch.arange(1, self.glimpses + 1, device=device)
            self.control = torch.zeros(3 + 2 * slots, dtype=torch.int64, device=device)
            columns = self.classes + self.glimpses * numbers + 2
            self.records = torch.zeros(TURNS, slots, columns, device=device)

    def reset(self) -> None:
        """All slots are free, and no image has left the line."""
        for each in (self._length, self._admitted, self._turn, self.control):
            each.zero_()

    def saved(self) -> list[Tensor]:
        """A copy of the slots, for :meth:`restore`."""
        return [each.clone() for each in self._state()]

    def restore(self, saved: list[Tensor]) -> None:
        for each, value in zip(self._state(), saved, strict=True):
            each.copy_(value)

    def _state(self) -> tuple[Tensor, ...]:
        slots = (self._tokens, self._region, self._seen, self._length, self._place)
        return (*slots, self._admitted, self._turn)

    @torch.inference_mode()
    def __call__(self, images: Tensor | ImagePool, decision: ExitDecision) -> None:
        """The step; nothing in it waits for the device, or for the host."""
        self._admit()
        logits, following = self.runner.step(
            images, self._region, self._tokens, self._length, self._place
        )
        newest = (self._glimpse == self._length.unsqueeze(1)).unsqueeze(2)
        torch.where(newest, self._region.unsqueeze(1), self._seen, out=self._seen)
        leaves = decision(logits, self._length)
        self._write(logits, leaves)
        self._region.copy_(following)
        self._length.add_(self._length > 0).masked_fill_(leaves, 0)

    def _admit(self) -> None:
        """Gives each free slot, in the order of the slots, the next image of the line."""
        before, total, unused, line = self.control.split([1, 1, 1, 2 * self.slots])
        free = self._length == 0
        number = free.cumsum(0).add_(self._admitted)  # of the image that a free slot would get
        enters = free & (number <= total)
        next_places = line[(number - before - 1).clamp_(0, 2 * self.slots - 1)]
        torch.where(free, unused, self._place, out=self._place)
        torch.where(enters, next_places, self._place, out=self._place)
        torch.where(enters.unsqueeze(1), self._first_region, self._region, out=self._region)
        self._length.add_(enters)
        torch.minimum(number[-1:], total, out=self._admitted)

    def _write(self, logits: Tensor, leaves: Tensor) -> None:
        length = torch.where(leaves, -self._length, self._length)
        columns = (logits, self._seen.flatten(1), self._place.unsqueeze(1), length.unsqueeze(1))
        record = torch.cat([each.to(self.records.dtype) for each in columns], dim=1)
        self.records.index_copy_(0, self._turn, record.unsqueeze(0))
        self._turn.add_(1).remainder_(TURNS)
