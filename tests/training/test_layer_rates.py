"""Learning rates by layer, and backbones that start frozen."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mgnet_fast.data import TranslatedMNIST
from mgnet_fast.models import MGNet, MGNetConfig, create_model
from mgnet_fast.training import Recipe, Trainer
from mgnet_fast.training.layer_rates import backbone_layers, parameter_groups
from mgnet_fast.training.run.progress import Progress
from mgnet_fast.training.schedule import OneCycle, new_optimizer

NORMED = MGNetConfig(num_classes=10, num_glimpses=2, glimpse_size=16, in_chans=1)


def normed() -> MGNet:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 5, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3))
    return MGNet(NORMED, nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 6)


@pytest.mark.parametrize(
    ("name", "layers"),
    [("mgnet_toy", 4), ("mgnet_resnet18", 9), ("mgnet_resnet50", 17), ("tnet_bagnet77", 18)],
)
def test_a_layer_is_a_block_or_a_convolution_with_its_norm(name: str, layers: int) -> None:
    with torch.device("meta"):
        model = create_model(name)
    assert len(backbone_layers(model.bare_backbone)) == layers
    groups = parameter_groups(model, 0.5)
    factors = [group["lr_factor"] for group in groups]
    assert factors == [0.5**depth for depth in range(layers, -1, -1)]
    inside = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(inside) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_rates_follow_the_schedule_times_the_factor(optimizer: str) -> None:
    model, recipe = normed(), Recipe(epochs=1, layer_decay=0.5, optimizer=optimizer)
    optimiser = new_optimizer(model, recipe)
    lr = OneCycle(recipe, 10).apply(optimiser, 3)
    assert [group["lr"] for group in optimiser.param_groups] == [lr / 4, lr / 2, lr]
    assert len(new_optimizer(model, Recipe(epochs=1)).param_groups) == 1


def test_a_frozen_backbone_keeps_weights_and_statistics_then_learns(
    train_scenes: TranslatedMNIST, test_scenes: TranslatedMNIST, tmp_path
) -> None:
    model = normed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = Recipe(epochs=2, batch_size=50, frozen_epochs=1)
    trainer = Trainer(model, train_scenes, test_scenes, recipe)
    epochs = trainer.fit(tmp_path, None, Progress(1, enabled=False), {})
    next(epochs)
    same = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert {name for name in before if name.startswith("backbone.")} <= same
    assert "global_fc.fc.weight" not in same
    next(epochs)
    after = model.state_dict()
    backbone = [name for name in before if name.startswith("backbone.")]
    assert not any(torch.equal(after[name], before[name]) for name in backbone)


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [("layer_decay", 0.0, r"in \(0, 1\]"), ("frozen_epochs", -1, "at least 0")],
)
def test_numbers_out_of_range_are_refused(field: str, value: float, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be {wanted}"):
        Recipe(epochs=1, **{field: value})
