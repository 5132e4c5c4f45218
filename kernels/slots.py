"""Slots that decide on the device: which images enter before a glimpse and leave after it.

A program is one warp, because it reads and writes the same numbers: its loads must come before its
stores.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from . import launching
from .tiles import next_power_of_2

VALUES = 1024  # logits that a program holds at a time
WARPS = 1


@triton.jit
def admit_kernel(
    control, length, place, region, first_region, admitted, turn,
    TURNS: tl.constexpr, SLOTS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program for all slots; see ``ops/fusion/slot_state.py``."""
    s = tl.arange(0, BLOCK)
    before, total, unused = tl.load(control), tl.load(control + 1), tl.load(control + 2)
    had = tl.load(admitted)
    free = tl.load(length + s, mask=s < SLOTS, other=1) == 0
    number = had + tl.cumsum(free.to(tl.int64), axis=0)
    enters = free & (number <= total)
    position = tl.minimum(tl.maximum(number - before - 1, 0), 2 * SLOTS - 1)
    given = tl.load(control + 3 + position, mask=enters, other=0)
    tl.store(place + s, tl.where(enters, given, unused), mask=free)
    tl.store(length + s, enters.to(tl.int64), mask=free)
    for k in tl.static_range(3):
        number_k = tl.load(first_region + k)
        tl.store(region + 3 * s + k, tl.where(enters, number_k, 0.0), mask=enters)
    tl.store(admitted, tl.minimum(had + tl.sum(free.to(tl.int64), axis=0), total))
    tl.store(turn, (tl.load(turn) + 1) % TURNS)


@triton.jit
def settle_kernel(
    logits, following, leaves, seen, region, length, place, records, turn,
    SLOTS: tl.constexpr, CLASSES: tl.constexpr, NUMBERS: tl.constexpr,
    PLACES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One program per slot; see ``ops/fusion/slot_state.py``."""
    s = tl.program_id(0).to(tl.int64)
    count = tl.load(length + s)
    leaving = tl.load(leaves + s) != 0
    columns: tl.constexpr = CLASSES + NUMBERS + 2
    row = records + (tl.load(turn) * SLOTS + s) * columns
    for first in range(0, CLASSES, BLOCK):
        k = first + tl.arange(0, BLOCK)
        value = tl.load(logits + s * CLASSES + k, mask=k < CLASSES, other=0)
        tl.store(row + k, value, mask=k < CLASSES)
    k = tl.arange(0, PLACES)
    old = tl.load(seen + s * NUMBERS + k, mask=k < NUMBERS, other=0)
    now = tl.load(region + s * 3 + k % 3, mask=k < NUMBERS, other=0)
    value = tl.where(k // 3 + 1 == count, now, old)
    tl.store(seen + s * NUMBERS + k, value, mask=k < NUMBERS)
    tl.store(row + CLASSES + k, value, mask=k < NUMBERS)
    tl.store(row + CLASSES + NUMBERS, tl.load(place + s).to(tl.float32))
    tl.store(row + CLASSES + NUMBERS + 1, tl.where(leaving, -count, count).to(tl.float32))
    k = tl.arange(0, 4)
    value = tl.load(following + s * 3 + k, mask=k < 3, other=0)
    tl.store(region + s * 3 + k, value, mask=k < 3)
    tl.store(length + s, tl.where(leaving | (count == 0), 0, count + 1))


def run_admit(state: Any) -> None:
    slots = state.length.shape[0]
    arguments = (
        state.control, state.length, state.place, state.region, state.first_region,
        state.admitted, state.turn,
    )  # fmt: skip
    constants = {
        "TURNS": state.records.shape[0],
        "SLOTS": slots,
        "BLOCK": next_power_of_2(slots),
    }
    launching.launch(admit_kernel, 1, state.length.device, arguments, constants, WARPS)


def run_settle(state: Any, logits: Tensor, following: Tensor, leaves: Tensor) -> None:
    slots, classes = logits.shape
    numbers = state.seen.shape[1] * state.seen.shape[2]
    arguments = (
        logits, following, leaves, state.seen, state.region, state.length, state.place,
        state.records, state.turn,
    )  # fmt: skip
    constants = {
        "SLOTS": slots,
        "CLASSES": classes,
        "NUMBERS": numbers,
        "PLACES": next_power_of_2(numbers),
        "BLOCK": min(next_power_of_2(classes), VALUES),
    }
    launching.launch(settle_kernel, slots, logits.device, arguments, constants, WARPS)
