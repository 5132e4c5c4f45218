"""Slots that decide for themselves: each backend does what is said, in the same numbers."""

from __future__ import annotations

import pytest
import torch

from mgnet_fast.ops.fusion.slot_state import SlotState, admit, settle

T, K = 4, 5


def _state(slots: int, seed: int) -> SlotState:
    """In the middle of a stream: 20 images have left the line, some slots are free."""
    generator = torch.Generator().manual_seed(seed)
    length = torch.randint(0, T + 1, (slots,), generator=generator)
    begin = 20 - min(slots, 3)
    control = torch.tensor([begin, 20 + seed % (slots + 2), 999, *range(100, 100 + 2 * slots)])
    return SlotState(
        control=control,
        length=length,
        place=torch.arange(slots) + 50,
        region=torch.rand(slots, 3, generator=generator),
        first_region=torch.tensor([[1.0, 0.0, 0.0]]),
        seen=torch.rand(slots, T, 3, generator=generator),
        admitted=torch.tensor([20]),
        turn=torch.tensor([seed % 2]),
        records=torch.full((2, slots, K + 3 * T + 2), -7.0),
    )


@pytest.mark.parametrize("slots", [1, 6])
def test_admission(backend: str, slots: int) -> None:
    for seed in range(4):
        state, before = _state(slots, seed), _state(slots, seed)
        admit(state, backend)
        number = 20
        for slot in range(slots):
            if before.length[slot] > 0:
                expected = (before.length[slot], before.place[slot], before.region[slot])
            elif number < before.control[1]:
                expected = (1, 100 + number - 20 + min(slots, 3), before.first_region[0])
                number += 1
            else:
                expected = (0, 999, before.region[slot])
            assert int(state.length[slot]) == int(expected[0])
            assert int(state.place[slot]) == int(expected[1])
            assert torch.equal(state.region[slot], expected[2])
        assert state.admitted.tolist() == [number]
        assert state.turn.tolist() == [(seed + 1) % 2]
        for name in ("control", "seen", "records", "first_region"):
            assert torch.equal(getattr(state, name), getattr(before, name))


@pytest.mark.parametrize("slots", [1, 6])
def test_what_is_left_after_a_glimpse(backend: str, slots: int) -> None:
    for seed in range(3):
        state, before = _state(slots, seed), _state(slots, seed)
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(slots, K, generator=generator)
        logits[before.length == 0] = torch.nan
        following = torch.rand(slots, 3, generator=generator)
        leaves = (before.length == T) | (
            (before.length > 0) & (torch.rand(slots, generator=generator) < 0.5)
        )
        settle(state, logits, following, leaves, backend)
        seen = before.seen.clone()
        for slot, count in enumerate(before.length.tolist()):
            if count:
                seen[slot, count - 1] = before.region[slot]
            stays = count > 0 and not leaves[slot]
            assert int(state.length[slot]) == (count + 1 if stays else 0)
            row = state.records[seed % 2, slot]
            assert row[-2:].tolist() == [50 + slot, -count if leaves[slot] else count]
        assert torch.equal(state.seen, seen)
        assert torch.equal(state.region, following)
        written = state.records[seed % 2]
        torch.testing.assert_close(written[:, :K], logits, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(written[:, K:-2], seen.flatten(1))
        assert (state.records[1 - seed % 2] == -7).all()
        for name in ("control", "place", "admitted", "turn", "first_region"):
            assert torch.equal(getattr(state, name), getattr(before, name))
