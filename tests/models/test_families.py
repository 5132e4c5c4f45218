"""Families of networks: how names and files find the class that they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from support.networks.four_quarters import FourQuarters, QuartersConfig

from mgnet_fast.models import MGNet, create_model, load_checkpoint, registry, save_checkpoint
from mgnet_fast.models.family import Family, feed_forward_twin
from mgnet_fast.models.files import checkpoints


class StoredQuarters(FourQuarters):
    """As if it were a family of this package."""


def _build(config: Any, backbone: Any, dim: int | None) -> StoredQuarters:
    model = StoredQuarters(config)
    model.backbone_name = backbone
    return model


QUARTERS = Family(
    prefix="quarters",
    network=StoredQuarters,
    config=QuartersConfig,
    backbones=lambda: ["small"],
    defaults=lambda backbone, overrides: {"num_classes": 7},
    build=_build,
    usual_image_size=lambda backbone, config: 32,
    twin=feed_forward_twin,
)


@pytest.fixture
def with_quarters(monkeypatch: pytest.MonkeyPatch) -> None:
    families = (*registry.FAMILIES, QUARTERS)
    monkeypatch.setattr(registry, "FAMILIES", families)
    monkeypatch.setattr(checkpoints, "FAMILIES", families)


@pytest.mark.usefixtures("with_quarters")
def test_an_entry_in_the_table_makes_names_and_files(tmp_path: Path) -> None:
    assert registry.list_models()[-1] == "quarters_small"
    model = create_model("quarters_small", one_at_a_time=True)
    assert model.config == QuartersConfig(num_classes=7, one_at_a_time=True)
    with pytest.raises(ValueError, match=r"unknown options \['alpha'\]"):
        create_model("quarters_small", alpha=1.0)
    with pytest.raises(ValueError, match="is unknown"):
        create_model("quarters_timm:resnet18")
    path = tmp_path / "quarters.safetensors"
    save_checkpoint(model, path)
    loaded = load_checkpoint(path)
    assert type(loaded) is StoredQuarters
    assert loaded.config == model.config
    images = torch.rand(2, 1, 30, 30)
    assert torch.equal(loaded(images)["n_logit"], model.eval()(images)["n_logit"])


def test_a_file_of_an_unknown_family_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "quarters.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(registry, "FAMILIES", (QUARTERS,))
        save_checkpoint(_build(QuartersConfig(), "small", None), path)
    with pytest.raises(ValueError, match="of the family 'quarters'; known are mgnet, ffnet"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["mgnet_toy", "ffnet_toy"])
def test_files_of_mgnets_have_no_entry_for_the_family(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(create_model(name), path)
    with safe_open(path, framework="pt") as file:
        assert sorted(file.metadata()) == ["mgnet_fast.backbone", "mgnet_fast.config"]
    assert type(load_checkpoint(path)) is MGNet


def test_a_network_of_no_family_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(TypeError, match=r"family .* \(mgnet, ffnet, .*\), got FourQuarters: save"):
        save_checkpoint(FourQuarters(), path)
    assert not path.exists()


def test_arguments_of_the_wrong_type_are_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="name must be a str such as 'mgnet_toy', got int"):
        create_model(3)
    with pytest.raises(TypeError, match="path must be a str or a path, got int"):
        load_checkpoint(3)
    with pytest.raises(TypeError, match="path must be a str or a path, got NoneType"):
        save_checkpoint(create_model("mgnet_toy"), None)
    path = tmp_path / "a.safetensors"
    save_checkpoint(create_model("mgnet_toy"), path)
    with pytest.raises(TypeError, match="model must be a GlimpseNetwork, got Linear"):
        load_checkpoint(path, model=torch.nn.Linear(2, 2))
