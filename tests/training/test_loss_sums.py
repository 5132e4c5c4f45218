"""The loss over an epoch: the same sums as if every step were read, and nothing is lost."""

from __future__ import annotations

import math

import pytest
import torch

from mgnet_fast.training.loss_sums import READ_EVERY, LossSums


@pytest.mark.parametrize("steps", [0, 1, 2, READ_EVERY, READ_EVERY + 1, 3 * READ_EVERY + 5])
def test_sums_are_those_of_every_step(steps: int) -> None:
    values = torch.randn(steps, 4, generator=torch.Generator().manual_seed(0))
    losses = LossSums(4)
    for row in values:
        losses.add(row)
    losses.read()
    assert torch.allclose(losses.sums, values.double().sum(0), rtol=1e-14, atol=1e-14)
    assert losses.sums.dtype == torch.float64
    assert losses.last == values[-1, 0] if steps else math.isnan(losses.last)


def test_the_first_step_is_read_at_once_and_then_every_sixteenth() -> None:
    losses = LossSums(1)
    seen = []
    for step in range(2 * READ_EVERY + 2):
        losses.add(torch.tensor([float(step)]))
        seen.append(losses.last)
    assert seen == [0.0] * READ_EVERY + [16.0] * READ_EVERY + [32.0] * 2


def test_a_value_that_is_not_finite_stays_in_the_sum() -> None:
    losses = LossSums(2)
    for value in (1.0, math.inf, 2.0):
        losses.add(torch.tensor([value, 1.0]))
    losses.read()
    assert losses.last == 2.0
    assert losses.sums.tolist() == [math.inf, 3.0]
