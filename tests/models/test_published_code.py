"""Taking over from the published code: its arguments, its live models, its training script."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mgnet_fast.models import MGNet, load_checkpoint, save_checkpoint
from mgnet_fast.models.backbones.resnet import resnet18
from mgnet_fast.models.backbones.toy_cnn import ToyCNN


def test_from_hparams(hparams: argparse.Namespace) -> None:
    backbone = ToyCNN()
    model = MGNet.from_hparams(hparams, backbone, 128)
    config = model.config
    assert model.backbone is backbone
    assert (config.num_classes, config.in_chans, config.num_glimpses) == (10, 1, 3)
    assert config.scale_range == (0.2, 0.5)
    assert (config.gradient_scale, config.alpha, config.down_factor) == (0.02, 0.6, 2.0)
    result = model(torch.randn(2, 1, 57, 64))
    assert result["n_aux_logit"].shape == (2, 2, 10)
    glimpse = model.glimpse_gen(torch.randn(2, 1, 57, 64), result["n_affparam"][1])
    assert glimpse.shape == (2, 1, 28, 28)


def test_from_hparams_of_a_bare_command_line() -> None:
    """A mapping before the published main script has derived anything from it."""
    model = MGNet.from_hparams({"num_class": 5, "n_iter": 2, "scale": 2.33}, ToyCNN(3), 128)
    assert (model.config.gradient_scale, model.config.alpha) == (1.0, 0.0)
    assert model.config.in_chans == 3
    assert model.glimpse_shape(torch.zeros(1, 3, 224, 224)) == (96, 96)
    assert model.backbone_name is None


def test_the_range_of_scales_may_be_given_as_its_width(hparams: argparse.Namespace) -> None:
    del hparams.scale_max
    hparams.scale_min, hparams.scale_range = 0.25, 0.5
    assert MGNet.from_hparams(hparams, ToyCNN(), 128).config.scale_range == (0.25, 0.75)


def test_what_the_published_training_script_asks_of_its_gradient_monitor(
    hparams: argparse.Namespace,
) -> None:
    monitor = MGNet.from_hparams(hparams, ToyCNN(), 128).gem
    monitor.update_ratio(1, 100)
    assert monitor.scale().isnan()
    assert monitor.ratio == 0
    assert len(monitor.stds) == len(monitor.grad_scales) == 2
    assert monitor.stds.isnan().all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trans_method", "naive"),
        ("no_detach", True),
        ("no_spatial_clue", True),
        ("dropout", 0.1),
        ("ge", 0.5),
        ("ssl", True),
        ("aux", False),
    ],
)
def test_options_that_are_not_there_are_refused(
    hparams: argparse.Namespace, name: str, value: Any
) -> None:
    setattr(hparams, name, value)
    with pytest.raises(ValueError, match=rf"hparams\.{name} must"):
        MGNet.from_hparams(hparams, ToyCNN(), 128)


def test_missing_arguments_are_named(hparams: argparse.Namespace) -> None:
    del hparams.n_iter
    with pytest.raises(ValueError, match=r"hparams must have num_class, n_iter and scale.*n_iter"):
        MGNet.from_hparams(hparams, ToyCNN(), 128)


def test_from_reference_shares_the_parameters(
    hparams: argparse.Namespace, published_module: Callable[..., nn.Module]
) -> None:
    module = published_module(hparams, ToyCNN(), 128).eval()
    model = MGNet.from_reference(module)
    assert list(model.state_dict()) == list(module.state_dict())
    for name, parameter in module.named_parameters():
        assert model.get_parameter(name) is parameter
    assert not model.training
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = model.global_fc.fc.weight.detach().clone()
    model.train()(torch.randn(2, 1, 60, 60))["n_logit"].square().sum().backward()
    optimizer.step()
    assert not torch.equal(model.global_fc.fc.weight, before)


def test_a_known_backbone_is_remembered_for_saving(
    hparams: argparse.Namespace, published_module: Callable[..., nn.Module], tmp_path: Path
) -> None:
    model = MGNet.from_reference(published_module(hparams, ToyCNN(), 128))
    save_checkpoint(model, tmp_path / "a.safetensors")
    loaded = load_checkpoint(tmp_path / "a.safetensors")
    images = torch.randn(2, 1, 60, 60)
    assert torch.equal(loaded(images)["n_logit"], model.eval()(images)["n_logit"])


def test_a_changed_backbone_is_not_taken_for_the_known_one(hparams: argparse.Namespace) -> None:
    backbone = ToyCNN()
    backbone.conv5 = nn.Conv2d(128, 128, 1)
    assert MGNet.from_hparams(hparams, backbone, 128).backbone_name is None


@pytest.mark.parametrize(("stem_pool", "name"), [(True, "resnet18"), (False, None)])
def test_a_stem_that_weights_cannot_tell_is_looked_at(
    hparams: argparse.Namespace, stem_pool: bool, name: str | None
) -> None:
    hparams.model = "resnet18"
    with torch.device("meta"):
        model = MGNet.from_hparams(hparams, resnet18(stem_pool=stem_pool), 512)
    assert model.backbone_name == name


def test_from_reference_without_a_glimpse_head(
    hparams: argparse.Namespace, published_module: Callable[..., nn.Module]
) -> None:
    hparams.alpha, hparams.aux = 0.0, False
    model = MGNet.from_reference(published_module(hparams, ToyCNN(), 128))
    assert not any(name.startswith("glimpse_fc") for name in model.state_dict())


def test_other_modules_are_refused(
    hparams: argparse.Namespace, published_module: Callable[..., nn.Module]
) -> None:
    with pytest.raises(ValueError, match="got Linear without hparams, backbone, feat_fusion"):
        MGNet.from_reference(nn.Linear(1, 1))
    module = published_module(hparams, ToyCNN(), 128)
    module.global_fc.fc = nn.Identity()
    with pytest.raises(ValueError, match=r"must have a linear layer global_fc\.fc, got none"):
        MGNet.from_reference(module)
