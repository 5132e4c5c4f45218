"""Networks shared as folders of Hugging Face's hub, without any network connection."""

from __future__ import annotations

import builtins
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mgnet_fast.models import (
    GlimpseNetwork,
    MGNet,
    MGNetConfig,
    TNet,
    create_model,
    load_checkpoint,
)
from mgnet_fast.models.files import hub


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if "without_library" not in request.fixturenames:
        pytest.importorskip(
            "huggingface_hub.hub_mixin", reason="huggingface_hub is not installed ([hub])"
        )


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *others, **more):
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real(name, *others, **more)

    hub._shared_class.cache_clear()
    monkeypatch.setattr(builtins, "__import__", refuse)


def assert_same(first: GlimpseNetwork, second: GlimpseNetwork) -> None:
    assert first.config == second.config
    assert first.backbone_name == second.backbone_name
    weights = second.state_dict()
    assert all(torch.equal(each, weights[name]) for name, each in first.state_dict().items())
    assert not second.training


def test_a_folder_gives_the_same_network(tmp_path: Path) -> None:
    model = create_model("mgnet_toy", pretrained=True, glimpse_size=(20, 28)).eval()
    assert model.save_pretrained(tmp_path / "toy") is None
    names = {path.name for path in (tmp_path / "toy").iterdir()}
    assert names == {"model.safetensors", "config.json", "README.md"}
    assert_same(model, MGNet.from_pretrained(tmp_path / "toy"))
    assert_same(model, MGNet.from_pretrained(str(tmp_path / "toy")))
    assert_same(model, load_checkpoint(tmp_path / "toy" / "model.safetensors"))


def test_a_folder_holds_a_network_of_any_family(tmp_path: Path) -> None:
    model = create_model("tnet_toy", locations=(2, 1)).eval()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["family"] == "tnet"
    loaded = TNet.from_pretrained(tmp_path)
    assert_same(model, loaded)
    images = torch.rand(2, 1, 90, 80)
    assert torch.equal(loaded(images)["n_logit"], model(images)["n_logit"])
    with pytest.raises(ValueError, match="must hold a MGNet, got TNet"):
        MGNet.from_pretrained(tmp_path)


def test_the_configuration_is_plain_json(tmp_path: Path) -> None:
    model = create_model("mgnet_toy")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("backbone") == "toy"
    assert MGNetConfig.from_dict(config) == model.config


def test_weights_without_a_header_of_ours_will_do(tmp_path: Path) -> None:
    model = create_model("mgnet_toy").eval()
    model.save_pretrained(tmp_path)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert_same(model, MGNet.from_pretrained(tmp_path))


def test_a_backbone_without_a_name_is_given_again(tmp_path: Path) -> None:
    def backbone() -> nn.Module:
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    config = MGNetConfig(num_classes=3, num_glimpses=2, glimpse_size=8)
    model = MGNet(config, backbone(), 3).eval()
    model.save_pretrained(tmp_path)
    assert_same(model, MGNet.from_pretrained(tmp_path, backbone=backbone(), dim=3))
    with pytest.raises(ValueError, match="pass the backbone module as backbone"):
        MGNet.from_pretrained(tmp_path)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    model = create_model("mgnet_toy")
    with pytest.raises(FileNotFoundError, match="nothing does not exist, and a name on the hub is"):
        MGNet.from_pretrained(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"has no config.json, so it holds no network"):
        MGNet.from_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_classes": 11}))
    with pytest.raises(ValueError, match=r"global_fc.* \(want \[11, 131\], got \[10, 131\]\)"):
        MGNet.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"colour": "red"}))
    with pytest.raises(ValueError, match=r"config has unknown keys \['colour'\]"):
        MGNet.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match="is damaged or not a safetensors file"):
        MGNet.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model.safetensors"):
        MGNet.from_pretrained(tmp_path)


@pytest.mark.usefixtures("without_library")
def test_a_missing_library_is_named_with_its_extra(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match=r"pip install 'mgnet-fast\[hub\]'"):
        create_model("mgnet_toy").save_pretrained(tmp_path / "toy")
    with pytest.raises(ImportError, match=r"pip install 'mgnet-fast\[hub\]'"):
        MGNet.from_pretrained(tmp_path)
    assert not (tmp_path / "toy").exists()
