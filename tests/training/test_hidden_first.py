"""Training in which the later states of some images do not see the first glimpse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgnet_fast import MGNet, create_model
from mgnet_fast.models.mgnet.fusion import FusionMemory
from mgnet_fast.training import Recipe, get_recipe, hides_first
from mgnet_fast.training.hidden_first import HiddenFirst


@pytest.fixture
def network() -> MGNet:
    torch.manual_seed(0)
    return create_model("mgnet_toy", num_glimpses=3)


def states_without_first(network: MGNet, images: Tensor) -> list[Tensor]:
    """F_1, and F_2, F_3 from a memory that never held the first glimpse."""
    memory, later = FusionMemory(), FusionMemory()
    glimpse, region = network.first_glimpse(images)
    states = []
    for step in range(3):
        fused = network.fuse(network.feature(glimpse), region, later if step else memory)
        states.append(fused)
        if step < 2:
            glimpse, region = network.next_glimpse(images, fused)
    return states


def test_a_hidden_first_glimpse_is_as_if_it_had_not_been(network: MGNet) -> None:
    images = torch.randn(5, 1, 112, 112)
    network.hidden_first_share = 1.0
    logits = network.train()(images)["n_logit"]
    wanted = torch.stack(
        [network.global_fc(each) for each in states_without_first(network, images)]
    )
    torch.testing.assert_close(logits, wanted)
    logits.sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in network.feat_fusion.parameters()
    )


def test_a_share_hides_it_from_some_images_and_only_in_training(network: MGNet) -> None:
    images = torch.randn(1, 1, 112, 112).expand(64, -1, -1, -1)
    seen = network.eval()(images)["n_logit"]
    network.hidden_first_share = 0.5
    assert torch.equal(network.eval()(images)["n_logit"], seen)
    torch.manual_seed(1)
    second = network.train()(images)["n_logit"][1]
    differ = (second - seen[1]).abs().amax(1) > 1e-3
    assert 16 < int(differ.sum()) < 48


def test_the_first_steps_of_a_training_hide_it(network: MGNet) -> None:
    hidden = HiddenFirst(network, Recipe(epochs=1, hide_first=0.4, hide_first_steps=0.5), 10)
    shares = []
    for step in range(10):
        hidden.apply(step)
        shares.append(network.hidden_first_share)
    assert shares == [0.4] * 5 + [0.0] * 5


@pytest.mark.parametrize("name", ["hide_first", "hide_first_steps"])
def test_shares_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got 1.5"):
        Recipe(epochs=1, **{name: 1.5})


@pytest.mark.parametrize(
    ("recipe", "model", "antialias", "share"),
    [
        ("default", "mgnet_toy", None, 0.5),
        ("default", "mgnet_toy", True, 0.5),
        ("default", "mgnet_toy", False, 0.0),
        ("default", "tnet_toy", True, 0.0),
        ("fine-tune", "mgnet_resnet18", True, 0.0),
        ("paper", "mgnet_toy", None, 0.0),
    ],
)
def test_the_default_recipe_hides_it_where_glimpses_average(
    recipe: str, model: str, antialias: bool | None, share: float
) -> None:
    changed = get_recipe(recipe, **hides_first(recipe, model, antialias))
    assert changed.hide_first == share
