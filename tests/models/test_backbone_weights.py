"""State dicts of torchvision's and timm's classifiers as backbones, in files written here."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.classifier_files import resnet_state
from torch import Tensor, nn

from mgnet_fast.models import create_model, save_checkpoint
from mgnet_fast.models.backbones.by_name import create_backbone
from mgnet_fast.models.files.backbone_weights import load_backbone_weights

State = dict[str, Tensor]


def blank(name: str) -> nn.Module:
    """A backbone that no time is spent on initialising."""
    with torch.device("meta"):
        backbone = create_backbone(name)
    return backbone.to_empty(device="cpu").requires_grad_(False)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


LAYOUTS: dict[str, Callable[[], Any]] = {
    "torchvision": lambda: resnet_state("resnet18"),
    "torchvision before 2018": lambda: resnet_state("resnet18", counters=False),
    "timm's training script": lambda: {
        "state_dict": resnet_state("resnet18", 10),
        "optimizer": {"state": {}},
        "args": Namespace(lr=0.1),
        "epoch": 3,
    },
    "torchvision's script, parallel": lambda: {
        "model": prefixed(resnet_state("resnet18"), "module.")
    },
    "Lightning": lambda: {"state_dict": prefixed(resnet_state("resnet18"), "model.backbone.")},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_torch_in_every_layout(layout: str, tmp_path: Path) -> None:
    torch.save(LAYOUTS[layout](), tmp_path / "file.pth")
    check_loaded(tmp_path / "file.pth", with_counters=layout != "torchvision before 2018")


def test_safetensors_as_on_the_hub(tmp_path: Path) -> None:
    state = {name: value.contiguous() for name, value in resnet_state("resnet18").items()}
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    check_loaded(tmp_path / "model.safetensors")


def check_loaded(path: Path, *, with_counters: bool = True) -> None:
    backbone = blank("resnet18")
    dropped = load_backbone_weights(backbone, path, "resnet18")
    assert sorted(dropped) == ["fc.bias", "fc.weight"]
    wanted = resnet_state("resnet18", counters=with_counters)
    for name, value in backbone.state_dict().items():
        assert torch.equal(value, wanted.get(name, torch.zeros_like(value)).to(value.dtype)), name


def test_a_deeper_network_is_told_by_its_layers_and_its_name(tmp_path: Path) -> None:
    """Every differing layer is named, and the backbone that the file fits."""
    torch.save(resnet_state("resnet50"), tmp_path / "file.pth")
    before = blank("resnet18")
    for value in before.state_dict().values():
        value.fill_(7)
    with pytest.raises(ValueError, match="they fit the backbone resnet50") as caught:
        load_backbone_weights(before, tmp_path / "file.pth", "resnet18")
    message = str(caught.value)
    assert "do not fit the backbone resnet18; they fit the backbone resnet50: " in message
    shapes, left_over = message.split("of another shape: ")[1].split("; left over: ")
    assert "layer1.0.conv1.weight (want [64, 64, 3, 3], got [64, 64, 1, 1])" in shapes
    assert "layer4.1.conv2.weight (want [512, 512, 3, 3], got [512, 512, 3, 3])" not in shapes
    named = left_over.split(", ")
    assert {"layer1.0.conv3", "layer1.0.downsample", "layer1.2", "layer4.2"} <= set(named)
    assert sum(name.startswith("layer3.") for name in named) == 4 + 4  # two blocks, four whole
    assert all(bool((value == 7).all()) for value in before.state_dict().values())


def test_another_width_is_told(tmp_path: Path) -> None:
    torch.save(resnet_state("wide_resnet50_2"), tmp_path / "file.pth")
    backbone = blank("resnet50")
    with pytest.raises(ValueError, match="they fit the backbone wide_resnet50_2") as caught:
        load_backbone_weights(backbone, tmp_path / "file.pth", "resnet50")
    message = str(caught.value)
    assert message.count("conv2.weight (want") == 16  # one in each block
    assert "missing" not in message
    assert "left over" not in message


def test_other_input_channels_are_told(tmp_path: Path) -> None:
    torch.save(create_backbone("toy", in_chans=3).state_dict(), tmp_path / "file.pth")
    with pytest.raises(ValueError, match="fit the backbone toy; they fit it with in_chans = 3: "):
        load_backbone_weights(create_backbone("toy", in_chans=1), tmp_path / "file.pth", "toy")


def test_what_is_missing_left_over_and_broken_is_said_at_once(tmp_path: Path) -> None:
    state = resnet_state("resnet18")
    state["conv1.weight"] = torch.full((64, 3, 7, 7), torch.nan)
    state["attention.weight"] = torch.zeros(1)
    del state["layer2.1.conv1.weight"]
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(
        ValueError,
        match=r"missing: layer2\.1\.conv1; left over: attention; not finite: conv1\.weight$",
    ):
        load_backbone_weights(blank("resnet18"), tmp_path / "file.pth", "resnet18")


class Code:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("what", ["a call", "a whole network"])
def test_pickles_with_code_are_refused(what: str, tmp_path: Path) -> None:
    content: Any = {"fc.weight": torch.zeros(1), "code": Code(tmp_path / "made")}
    torch.save(nn.Linear(2, 2) if what == "a whole network" else content, tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"refused, because .*run code.*save the state_dict\(\)"):
        load_backbone_weights(blank("resnet18"), tmp_path / "file.pth", "resnet18")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a file of torch.save nor of safetensors"),
        (b"PK\x03\x04 torn", "are damaged"),
        ([torch.zeros(2)], "must hold a state dict"),
        ({"epoch": 3}, "must hold a state dict"),
    ],
)
def test_other_files_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        load_backbone_weights(create_backbone("toy"), path, "toy")
    with pytest.raises(FileNotFoundError, match=r"absent\.pth do not exist"):
        load_backbone_weights(create_backbone("toy"), tmp_path / "absent.pth", "toy")


def test_checkpoints_of_this_package_are_pointed_out(tmp_path: Path) -> None:
    save_checkpoint(create_model("mgnet_toy"), tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match="those of a whole MGNet"):
        load_backbone_weights(create_backbone("toy"), tmp_path / "own.safetensors", "toy")
