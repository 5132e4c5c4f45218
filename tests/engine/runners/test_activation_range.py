"""Ranges of activations, against all values at once."""

from __future__ import annotations

import pytest
import torch

from mgnet_fast.engine.convolutions.activation_range import QUANTILE, ActivationRange

BIN = 2 / 2048  # the widest that a bin can be, as a share of the largest value


@pytest.mark.parametrize("order", ["ascending", "descending", "as they come"])
def test_highest_is_the_quantile_however_the_values_come(order: str) -> None:
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(0)).relu() ** 3
    exact = float(values.double().quantile(torch.tensor(QUANTILE, dtype=torch.float64)))
    parts = values.split(1000)
    if order != "as they come":
        parts = sorted(parts, key=lambda part: float(part.max()), reverse=order == "descending")
    found = ActivationRange()
    for part in parts:
        found.add(part.view(10, 1, 20, 5))
    assert abs(found.highest() - exact) <= BIN * float(values.max())


def test_a_value_far_above_the_others_is_cut_off() -> None:
    values = torch.linspace(0, 1, 100_000)
    found = ActivationRange()
    found.add(values)
    found.add(torch.tensor([100.0]))
    assert found.highest() <= 1 + BIN * 100


def test_integers_cover_the_range_and_zero_is_one_of_them() -> None:
    found = ActivationRange()
    found.add(torch.linspace(-3, 5, 10_001))
    scale, zero_point = found.integers(255)
    assert scale == pytest.approx(8 / 255, rel=1e-3)
    assert zero_point == round(255 * 3 / 8)
    only_negative = ActivationRange()
    only_negative.add(torch.tensor([-2.0, -1.0]))
    assert only_negative.integers(255) == (pytest.approx(2 / 255), 255)


def test_nothing_but_zeros() -> None:
    found = ActivationRange()
    found.add(torch.zeros(2, 3, 4, 5))
    assert found.integers(255) == (1.0, 0)
    found.add(torch.ones(1))
    assert found.highest() == pytest.approx(1, rel=BIN)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(odd: float) -> None:
    with pytest.raises(ValueError, match="calibration must give finite activations"):
        ActivationRange().add(torch.tensor([0.0, odd]))
