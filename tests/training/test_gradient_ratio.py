"""The ratio of the two gradients at the fused states, and that measuring it changes nothing."""

import pytest
import torch
import torch.nn.functional as F

from mgnet_fast import create_model
from mgnet_fast.models import MGNet
from mgnet_fast.models.mgnet.fusion import FusionMemory
from mgnet_fast.models.mgnet.objective import Objective
from mgnet_fast.training.gradient_ratio import EVERY, GradientRatio


@pytest.fixture
def model() -> MGNet:
    torch.manual_seed(0)
    return create_model("mgnet_toy", num_glimpses=3).train().double()


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(4, 1, 112, 112, generator=generator, dtype=torch.float64)
    return images, torch.tensor([1, 2, 3, 4])


def backward(model: MGNet, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    model.zero_grad()
    Objective()(model(batch[0]), batch[1])["loss"].backward()


def ratio_by_hand(model: MGNet, batch: tuple[torch.Tensor, torch.Tensor]) -> float:
    """The forward pass again, with a branch of each state of its own for either way."""
    images, labels = batch
    memory, logits, features = FusionMemory(), [], []
    to_class, to_region = [], []
    glimpse, region = model.first_glimpse(images)
    for step in range(3):
        features.append(model.feature(glimpse))
        state = model.fuse(features[-1], region, memory)
        to_class.append(state * 1.0)
        logits.append(model.global_fc(to_class[-1]))
        if step < 2:
            to_region.append(state * 1.0)
            glimpse, region = model.next_glimpse(images, to_region[-1])
    global_loss = torch.stack([F.cross_entropy(each, labels) for each in logits]).mean()
    assert model.glimpse_fc is not None
    single = [F.cross_entropy(model.glimpse_fc(each), labels) for each in features[1:]]
    loss = 0.6 * torch.stack(single).mean() + 0.4 * global_loss
    gradients = torch.autograd.grad(loss, [*to_region, *to_class[:2]])
    located, classified = torch.stack(gradients[:2]).norm(), torch.stack(gradients[2:]).norm()
    return float(located / classified)


def test_it_is_the_ratio_of_the_two_ways_by_hand(
    model: MGNet, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ratio = GradientRatio(model, 1)
    with ratio.watched(0):
        backward(model, batch)
    assert ratio.take() == pytest.approx(ratio_by_hand(model, batch), rel=1e-9)
    assert ratio.take() is None


def test_watching_changes_no_gradient_and_leaves_no_hook(
    model: MGNet, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    backward(model, batch)
    before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    with GradientRatio(model, 1).watched(0):
        backward(model, batch)
    after = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_of_several_passes_the_last_one_counts(
    model: MGNet, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ratio = GradientRatio(model, 1)
    with ratio.watched(0):
        backward(model, (1 - batch[0], batch[1]))
        backward(model, batch)
    assert ratio.take() == pytest.approx(ratio_by_hand(model, batch), rel=1e-9)


@pytest.mark.parametrize("is_on", [True, False])
def test_one_step_in_fifty_counts_and_none_where_it_is_off(
    model: MGNet, batch: tuple[torch.Tensor, torch.Tensor], is_on: bool
) -> None:
    ratio = GradientRatio(model, 234, is_on=is_on)
    with ratio.watched(0):
        backward(model, batch)
    assert ratio.take() is None
    with ratio.watched(EVERY - 1):
        backward(model, batch)
    assert (ratio.take() is not None) is is_on


def test_one_glimpse_has_no_ratio(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = create_model("mgnet_toy", num_glimpses=1).train().double()
    ratio = GradientRatio(model, 1)
    with ratio.watched(0):
        backward(model, batch)
    assert ratio.take() is None
