"""The moving average of weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mgnet_fast.models import MGNet
from mgnet_fast.training.averaging import WeightAverage


def test_follows_its_formula(new_model: Callable[..., MGNet]) -> None:
    model = new_model()
    average = WeightAverage(model, decay=0.5)
    weight, mean = model.loc_network.fc.weight, average.model.loc_network.fc.weight
    expected = weight.detach().clone()
    for step in range(1, 20):
        with torch.no_grad():
            weight.add_(step)
        average.update()
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * weight.detach()
        torch.testing.assert_close(mean, expected)
    assert average.steps == 19
    assert not mean.requires_grad


def test_zero_decay_is_the_model_itself(new_model: Callable[..., MGNet]) -> None:
    model = new_model()
    average = WeightAverage(model, decay=0.0)
    average.update()
    assert average.model is model
    assert all(parameter.requires_grad for parameter in model.parameters())
