"""The one-cycle schedule against PyTorch's own."""

from __future__ import annotations

import pytest
import torch

from mgnet_fast.training import Recipe
from mgnet_fast.training.schedule import OneCycle


@pytest.mark.parametrize("total_steps", [10, 37, 200])
@pytest.mark.parametrize("pct_start", [0.2, 0.5])
def test_equals_pytorchs_one_cycle(total_steps: int, pct_start: float) -> None:
    recipe = Recipe(epochs=1, pct_start=pct_start)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=recipe.peak_lr,
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=25.0,
        final_div_factor=1e4,
        base_momentum=0.85,
        max_momentum=0.95,
    )
    ours = OneCycle(recipe, total_steps)
    for step in range(total_steps):
        group = optimizer.param_groups[0]
        assert ours.at(step) == pytest.approx((group["lr"], group["momentum"]), rel=1e-9, abs=1e-15)
        optimizer.step()
        if step + 1 < total_steps:
            theirs.step()


def test_shape_of_the_cycle() -> None:
    schedule = OneCycle(Recipe(epochs=1, peak_lr=0.1), 100)
    assert schedule.at(0) == pytest.approx((0.004, 0.95))
    assert schedule.at(19) == pytest.approx((0.1, 0.85))
    assert schedule.at(99) == pytest.approx((4e-7, 0.95))


def test_apply_sets_every_group() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in parameters], lr=1.0, momentum=0.5)
    schedule = OneCycle(Recipe(epochs=1), 10)
    lr = schedule.apply(optimizer, 4)
    assert [(g["lr"], g["momentum"]) for g in optimizer.param_groups] == [schedule.at(4)] * 2
    assert lr == schedule.at(4)[0]


@pytest.mark.parametrize("total_steps", [1, 2, 3])
@pytest.mark.parametrize("pct_start", [0.0, 0.2, 1.0])
def test_tiny_runs_stay_in_range(total_steps: int, pct_start: float) -> None:
    schedule = OneCycle(Recipe(epochs=1, pct_start=pct_start), total_steps)
    for step in range(total_steps):
        lr, momentum = schedule.at(step)
        assert 0 < lr <= 0.1
        assert 0.85 <= momentum <= 0.95
