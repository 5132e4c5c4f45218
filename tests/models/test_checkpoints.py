"""Networks on disk: there and back, from Lightning, damaged, and of another configuration."""

from __future__ import annotations

import argparse
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from mgnet_fast import assets
from mgnet_fast.models import MGNet, MGNetConfig, create_model, load_checkpoint, save_checkpoint


def assert_same_weights(actual: nn.Module, expected: nn.Module) -> None:
    wanted = expected.state_dict()
    assert list(actual.state_dict()) == list(wanted)
    for name, tensor in actual.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


def lightning_file(path: Path, model: MGNet, **content: Any) -> Path:
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state, **content}, path)
    return path


def test_safetensors_round_trip(tmp_path: Path) -> None:
    model = create_model("mgnet_toy", num_classes=4, glimpse_size=(20, 21), glimpse_loss="paper")
    model.to(memory_format=torch.channels_last)
    save_checkpoint(model, tmp_path / "net.safetensors", metadata={"origin": "a test"})
    loaded = load_checkpoint(tmp_path / "net.safetensors")
    assert loaded.config == model.config
    assert not loaded.training
    assert_same_weights(loaded, model)
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        assert file.metadata()["origin"] == "a test"
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_backbone_without_a_name_must_be_given_again(tmp_path: Path) -> None:
    config = MGNetConfig(num_classes=2, glimpse_size=9)
    model = MGNet(
        config, nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), 5
    )
    path = tmp_path / "net.safetensors"
    save_checkpoint(model, path)
    with pytest.raises(ValueError, match="pass the backbone module as backbone"):
        load_checkpoint(path)
    fresh = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert_same_weights(load_checkpoint(path, backbone=fresh, dim=5), model)


def test_an_interrupted_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(create_model("mgnet_toy"), path)
    before = path.read_bytes()

    write = Path.write_bytes

    def interrupted(self: Path, content: bytes) -> int:
        write(self, content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(create_model("mgnet_toy"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="the files have no such permissions")
def test_others_may_read_what_the_user_lets_them_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        save_checkpoint(create_model("mgnet_toy"), tmp_path / "net.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "net.safetensors").stat().st_mode & 0o777 == 0o644


def test_only_networks_of_this_package_are_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="model must be a GlimpseNetwork, got Linear"):
        save_checkpoint(nn.Linear(1, 1), tmp_path / "net.safetensors")


def test_overrides_change_what_the_weights_do_not_fix(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(create_model("mgnet_toy"), path)
    loaded = load_checkpoint(path, num_glimpses=5, glimpse_size=24)
    assert (loaded.config.num_glimpses, loaded.config.glimpse_size) == (5, 24)
    by_factor = load_checkpoint(path, down_factor=4.0)
    assert (by_factor.config.down_factor, by_factor.config.glimpse_size) == (4.0, None)


def test_another_configuration_is_told_by_the_differing_keys(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(create_model("mgnet_toy", alpha=0.0), path)
    with pytest.raises(ValueError, match=r"missing: glimpse_fc\.fc\.weight, glimpse_fc\.fc\.bias$"):
        load_checkpoint(path, alpha=0.6)
    with pytest.raises(
        ValueError,
        match=r"of another shape: global_fc\.fc\.weight \(want \[7, 131\], got \[10, 131\]\), glob",
    ):
        load_checkpoint(path, num_classes=7)
    save_checkpoint(create_model("mgnet_toy"), path)
    model = create_model("mgnet_toy", num_glimpses=1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"unexpected: glimpse_fc\.fc\.bias, glimpse_fc"):
        load_checkpoint(path, model=model)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    resnet = create_model("mgnet_resnet18", in_chans=1, num_classes=10)
    with pytest.raises(ValueError, match=r"missing: backbone\.bn1\.weight.* and \d+ more; unexp"):
        load_checkpoint(path, model=resnet)


def test_loading_into_a_model(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    source, target = create_model("mgnet_toy"), create_model("mgnet_toy", num_glimpses=2)
    save_checkpoint(source, path)
    assert load_checkpoint(path, model=target) is target
    assert target.training
    assert_same_weights(target, source)
    with pytest.raises(ValueError, match="model has its own config and backbone"):
        load_checkpoint(path, model=target, num_glimpses=3)


def test_a_lightning_checkpoint_with_hyper_parameters(
    tmp_path: Path, hparams: argparse.Namespace
) -> None:
    model = create_model("mgnet_toy")
    for name, given in (("a", vars(hparams)), ("b", hparams), ("c", {"hparams": hparams})):
        path = lightning_file(tmp_path / f"{name}.ckpt", model, hyper_parameters=given)
        loaded = load_checkpoint(path)
        assert_same_weights(loaded, model)
        assert loaded.config.num_glimpses == 3
        assert loaded.glimpse_shape(torch.zeros(1, 1, 112, 112)) == (56, 56)
        assert load_checkpoint(path, glimpse_size=28).config.glimpse_size == 28


def test_a_checkpoint_may_name_classes_that_nobody_has(
    tmp_path: Path, hparams: argparse.Namespace
) -> None:
    """Lightning keeps classes of callbacks as keys; they are neither needed nor run."""
    ran: list[str] = []

    class ModelCheckpoint:
        def __setstate__(self, state: object) -> None:
            ran.append("foreign code")

    module = types.ModuleType("a_lightning_that_is_gone")
    module.ModelCheckpoint = ModelCheckpoint
    ModelCheckpoint.__module__ = module.__name__
    ModelCheckpoint.__qualname__ = "ModelCheckpoint"
    sys.modules[module.__name__] = module
    model = create_model("mgnet_toy")
    instance = ModelCheckpoint()
    instance.best = 0.9
    content = {"callbacks": {ModelCheckpoint: {"best": 0.9}, "other": instance}}
    try:
        path = lightning_file(tmp_path / "a.ckpt", model, hyper_parameters=vars(hparams), **content)
        assert_same_weights(load_checkpoint(path), model)
    finally:
        del sys.modules[module.__name__]
    assert_same_weights(load_checkpoint(path), model)
    assert not ran


def test_a_lightning_checkpoint_without_hyper_parameters(tmp_path: Path) -> None:
    model = create_model("mgnet_resnet18", num_classes=6)
    path = lightning_file(tmp_path / "a.ckpt", model)
    with pytest.raises(ValueError, match="does not give the number and size"):
        load_checkpoint(path, num_glimpses=4)
    loaded = load_checkpoint(path, num_glimpses=4, glimpse_size=96)
    assert loaded.backbone_name == "resnet18"
    assert (loaded.config.num_classes, loaded.config.has_glimpse_head) == (6, True)
    assert_same_weights(loaded, model)


def test_a_bare_state_dict_without_the_training_head(tmp_path: Path) -> None:
    model = create_model("mgnet_toy", alpha=0.0)
    torch.save(model.state_dict(), tmp_path / "a.pt")
    loaded = load_checkpoint(tmp_path / "a.pt", num_glimpses=3, glimpse_size=28)
    assert not loaded.config.has_glimpse_head
    assert_same_weights(loaded, model)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x80\x02no pickle", b"x" * 99])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.ckpt (is damaged|cannot be read safely)"):
        load_checkpoint(path)


def test_a_truncated_file_is_refused(tmp_path: Path, hparams: argparse.Namespace) -> None:
    model = create_model("mgnet_toy")
    save_checkpoint(model, tmp_path / "a.safetensors")
    lightning_file(tmp_path / "a.ckpt", model, hyper_parameters=vars(hparams))
    for path in list(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ValueError, match=path.name):
            load_checkpoint(path)


def test_other_content_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="must hold a state dict, got list"):
        load_checkpoint(tmp_path / "list.pt")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="pass the backbone module as backbone"):
        load_checkpoint(tmp_path / "other.safetensors", num_glimpses=3, glimpse_size=28)
    with pytest.raises(FileNotFoundError, match=r"nothing\.ckpt does not exist"):
        load_checkpoint(tmp_path / "nothing.ckpt")


def test_shipped_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "files", lambda package: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"mgnet_toy\.safetensors is missing from the inst"):
        create_model("mgnet_toy", pretrained=True)
    model = create_model("mgnet_toy")
    save_checkpoint(model, tmp_path / "mgnet_toy.safetensors")
    assert_same_weights(create_model("mgnet_toy", pretrained=True), model)
    single = create_model("mgnet_toy", pretrained=True, num_glimpses=1)
    assert torch.equal(single.global_fc.fc.weight, model.global_fc.fc.weight)
    with pytest.raises(ValueError, match=r"pretrained mgnet_toy does not fit.*global_fc\.fc\.bias"):
        create_model("mgnet_toy", pretrained=True, num_classes=3)
    with pytest.raises(ValueError, match="shipped for mgnet_toy, tnet_toy only, got 'ffnet_toy'"):
        create_model("ffnet_toy", pretrained=True)
