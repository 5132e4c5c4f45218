"""The loss of TNets, term by term."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast.models import create_model
from mgnet_fast.models.tnet.config import TNetConfig
from mgnet_fast.models.tnet.objective import TNetObjective


def output_of(levels: tuple[int, ...], batch: int) -> dict[str, Tensor]:
    """Random outputs with 4 cells per image or crop; ``levels`` are the looks of each level."""
    torch.manual_seed(1)
    parents = sum(levels[:-1])
    probabilities = torch.rand(batch, parents, 4, dtype=torch.float64).softmax(2)
    attended = torch.zeros(batch, parents, 4, dtype=torch.bool)
    first = 0
    for before, after in pairwise(levels):
        for crop in range(first, first + before):
            for row in range(batch):
                attended[row, crop, torch.randperm(4)[: after // before]] = True
        first += before
    looks = sum(levels)
    return {
        "n_logit": torch.randn(len(levels), batch, 3, dtype=torch.float64),
        "n_affparam": torch.rand(looks, batch, 4),
        "attended": attended.flatten(1),
        "probabilities": probabilities.flatten(1).requires_grad_(),
        "n_aux_logit": torch.randn(looks, batch, 3, dtype=torch.float64),
    }


@pytest.mark.parametrize(
    ("levels", "loss_levels"), [((1, 2), None), ((1, 2, 4), 2), ((1, 2, 4), None)]
)
def test_every_term(levels: tuple[int, ...], loss_levels: int | None) -> None:
    locations = tuple(b // a for a, b in pairwise(levels))
    config = TNetConfig(
        num_classes=3, grid=2, locations=locations, joint_weight=0.3, loss_levels=loss_levels
    )
    labels = torch.tensor([0, 2, 1, 1, 0])
    output = output_of(levels, 5)
    baseline = torch.tensor(0.4, dtype=torch.float64)
    parts = TNetObjective(config, baseline)(output, labels)

    with_terms = sum(levels[:loss_levels])
    joint, alone, joint_choice, single_choice = 0.0, [], [], []
    rewards, single_rewards = [], []
    for row, label in enumerate(labels.tolist()):
        last = output["n_logit"][-1, row]
        joint = joint + F.cross_entropy(last, labels[row]) / 5
        right = float(int(last.argmax()) == label)
        rewards.append(right)
        log_p = torch.log(output["probabilities"][row][output["attended"][row]] + 1e-10)
        joint_choice.append((right - 0.4) * -log_p.sum())
        for look in range(with_terms):
            logits = output["n_aux_logit"][look, row]
            alone.append(F.cross_entropy(logits, labels[row]))
            if look > 0:
                single = float(int(logits.argmax()) == label)
                single_rewards.append(single)
                single_choice.append((single - 0.4) * -log_p[look - 1])
    mean_alone = torch.stack(alone).mean()
    choice = 0.3 * torch.stack(joint_choice).mean() + 0.7 * torch.stack(single_choice).mean()
    torch.testing.assert_close(parts["global"], joint)
    torch.testing.assert_close(parts["single"], mean_alone)
    torch.testing.assert_close(parts["choice"], choice)
    torch.testing.assert_close(parts["loss"], 0.3 * joint + 0.7 * mean_alone + 0.1 * choice)
    newest = 0.3 * sum(rewards) / 5 + 0.7 * sum(single_rewards) / len(single_rewards)
    assert float(baseline) == pytest.approx(0.9 * 0.4 + 0.1 * newest)


def test_outside_training_the_baseline_stays() -> None:
    output = output_of((1, 2), 5)
    del output["n_aux_logit"]
    baseline = torch.tensor(0.4)
    parts = TNetObjective(TNetConfig(grid=2, locations=(2,)), baseline)(
        output, torch.zeros(5).long()
    )
    assert float(baseline) == pytest.approx(0.4)
    torch.testing.assert_close(parts["loss"], parts["global"] + 0.1 * parts["choice"])


def test_wrong_arguments() -> None:
    objective = TNetObjective(TNetConfig(grid=2, locations=(2,)), torch.tensor(0.5))
    with pytest.raises(ValueError, match=r"labels must have shape \[5\], got \[4\]"):
        objective(output_of((1, 2), 5), torch.zeros(4).long())
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\), got 1"):
        create_model("tnet_toy").objective(label_smoothing=1.0)


def test_a_step_of_training_teaches_the_locations() -> None:
    """The gradient of the loss reaches every parameter, and the baseline moves."""
    torch.manual_seed(0)
    model = create_model("tnet_toy", dropout=0.1)
    loss = model.objective()(model(torch.rand(4, 1, 100, 120)), torch.arange(4))["loss"]
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert float(model.baseline) != 0.5
