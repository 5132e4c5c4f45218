"""The state of slots that stays on the device, and its update before and after each glimpse."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

MOST_SLOTS = 1024  # one program of the Triton kernel handles no more


class SlotState(NamedTuple):
    """S slots of a network with K classes that takes T glimpses; contiguous, on one device.

    Attributes:
        control (int64[3 + 2 S]): the number of images that entered a slot before the first one
            listed here, the number of images so far, the place that free slots look at, then the
            places of the images that wait next.
        length (int64[S]): glimpses taken, the next one included; 0: the slot is free.
        place (int64[S]): of the slot's image.
        region (float32[S, 3]): where the next glimpse is taken.
        first_region (float32[1, 3]): where an image's first one is.
        seen (float32[S, T, 3]): the regions of the glimpses taken.
        admitted (int64[1]): the number of images that have entered a slot so far.
        turn (int64[1]): the index of the newest record.
        records (float32[TURNS, S, K + 3 T + 2]): written in rotation; a slot's row holds its
            logits, its past regions, the place of its image, and its length, negated when the
            image is done.
    """

    control: Tensor
    length: Tensor
    place: Tensor
    region: Tensor
    first_region: Tensor
    seen: Tensor
    admitted: Tensor
    turn: Tensor
    records: Tensor


@cache
def _kernels() -> Any:
    return importlib.import_module("mgnet_fast.kernels.slots")


def admit(state: SlotState, backend: str) -> None:
    """Gives each free slot, in slot order, the next waiting image, and moves on to the next record.

    Nothing waits for the device.
    """
    if backend == "triton" and len(state.length) <= MOST_SLOTS:
        _kernels().run_admit(state)
        return
    half = 2 * len(state.length)
    before, total, unused, line = state.control.split([1, 1, 1, half])
    free = state.length == 0
    number = free.cumsum(0).add_(state.admitted)  # of the image that a free slot would get
    enters = free & (number <= total)
    next_places = line[(number - before - 1).clamp_(0, half - 1)]
    torch.where(free, unused, state.place, out=state.place)
    torch.where(enters, next_places, state.place, out=state.place)
    torch.where(enters.unsqueeze(1), state.first_region, state.region, out=state.region)
    state.length.add_(enters)
    torch.minimum(number[-1:], total, out=state.admitted)
    state.turn.add_(1).remainder_(len(state.records))


def settle(
    state: SlotState, logits: Tensor, following: Tensor, leaves: Tensor, backend: str
) -> None:
    """Writes the record of a glimpse and prepares the slots for the next one.

    Args:
        state: the slots.
        logits (float32[S, K]): after the glimpse.
        following (float32[S, 3]): where the next one would be.
        leaves (bool[S]): which images are done; False for a free slot.
        backend: as :func:`mgnet_fast.ops.backends.choice.choose` gives it.

    Nothing waits for the device.
    """
    if backend == "triton":
        _kernels().run_settle(
            state, logits.contiguous(), following.contiguous(), leaves.view(torch.uint8)
        )
        return
    glimpse = torch.arange(1, state.seen.shape[1] + 1, device=state.length.device)
    newest = (glimpse == state.length.unsqueeze(1)).unsqueeze(2)
    torch.where(newest, state.region.unsqueeze(1), state.seen, out=state.seen)
    length = torch.where(leaves, -state.length, state.length)
    columns = (logits, state.seen.flatten(1), state.place.unsqueeze(1), length.unsqueeze(1))
    record = torch.cat([each.to(state.records.dtype) for each in columns], dim=1)
    state.records.index_copy_(0, state.turn, record.unsqueeze(0))
    state.region.copy_(following)
    state.length.add_(state.length > 0).masked_fill_(leaves, 0)
