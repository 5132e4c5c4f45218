"""A step that decides on the device which images enter and leave.

:class:`~mgnet_fast.engine.schedule.slot_loop.SlotLoop` decides on the host after every step, so the
device waits for the host and the host for the device. This step needs no host: it admits waiting
images, takes a glimpse of each slot's image, and frees the slots of images that leave. Shapes and
addresses never change, so it can be captured in a CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...ops.backends import choice as backends
from ...ops.fusion.slot_state import SlotState, admit, settle
from ...ops.images.image_pool import ImagePool
from ..exits import ExitDecision
from ..runners.runner import Runner, StepInput

TURNS = 2  # one step runs while the results of the step before are read


class GraphStep:
    """The memory of ``slots`` slots and the program of a step.

    Images that have a place wait in a queue. Before each step the host sends the part of the queue
    that the slots may reach (``control``). Free slots are computed like the others; their NaN
    results are ignored.

    Args:
        runner: takes the glimpses.
        slots: number of images in flight.

    Attributes:
        control, records: see :class:`SlotState`.
    """

    def __init__(self, runner: Runner, slots: int) -> None:
        self.runner = runner
        self.slots = slots
        self.classes = runner.num_classes
        self.glimpses = runner.config.num_glimpses
        device = runner.device
        self._backend = backends.choose(device.type, None)
        with torch.inference_mode(False):
            first_region = runner.initial_regions(1)
            numbers = first_region.shape[1]
            self._tokens = runner.new_tokens(slots)
            length = torch.zeros(slots, dtype=torch.int64, device=device)
            self._slots = SlotState(
                control=torch.zeros(3 + 2 * slots, dtype=torch.int64, device=device),
                length=length,
                place=torch.zeros_like(length),
                region=first_region.repeat(slots, 1),
                first_region=first_region,
                seen=torch.zeros(slots, self.glimpses, numbers, device=device),
                admitted=torch.zeros_like(length[:1]),
                turn=torch.full_like(length[:1], TURNS - 1),
                records=torch.zeros(
                    TURNS, slots, self.classes + self.glimpses * numbers + 2, device=device
                ),
            )
        self.control, self.records = self._slots.control, self._slots.records

    def reset(self) -> None:
        """Free all slots and empty the queue."""
        for each in (self._slots.length, self._slots.admitted, self.control):
            each.zero_()
        self._slots.turn.fill_(TURNS - 1)

    def saved(self) -> list[Tensor]:
        """A copy of the slots, for :meth:`restore`."""
        return [each.clone() for each in (self._tokens, *self._slots)]

    def restore(self, saved: list[Tensor]) -> None:
        for each, value in zip((self._tokens, *self._slots), saved, strict=True):
            each.copy_(value)

    @torch.inference_mode()
    def __call__(self, images: Tensor | ImagePool, decision: ExitDecision) -> None:
        """Run the step. It never waits for the device or the host."""
        slots = self._slots
        admit(slots, self._backend)
        given = StepInput(images, slots.region, self._tokens, slots.length, slots.place)
        logits, following = self.runner.step(given)
        settle(slots, logits, following, decision(logits, slots.length), self._backend)
