"""Networks of timm and torchvision as backbones, without these libraries."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mgnet_fast.models import create_model
from mgnet_fast.models.backbones import foreign
from mgnet_fast.models.backbones.foreign import check_features, without_classifier


class Average(nn.Module):
    """A backbone of somebody else: the mean of each channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_missing_library_is_named_with_its_command(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"needs {library}.*pip install {library}"):
        create_model(f"mgnet_{library}:convnext_tiny")


def test_a_network_of_timm_is_asked_for_without_its_classifier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class FakeTimm:
        __version__ = "1"

        @staticmethod
        def is_model(name: str) -> bool:
            return name == "average"

        @staticmethod
        def create_model(name: str, num_classes: int, in_chans: int) -> nn.Module:
            assert num_classes == 0
            backbone = Average()
            backbone.num_features = in_chans
            return backbone

    monkeypatch.setitem(sys.modules, "timm", FakeTimm)
    assert create_model("mgnet_timm:average", in_chans=2).dim == 2
    with pytest.raises(ValueError, match="unknown to timm 1"):
        create_model("mgnet_timm:averege")


@pytest.mark.parametrize("part", ["fc", "classifier", "heads"])
def test_a_classifier_of_torchvision_is_taken_off(part: str) -> None:
    network = nn.Module()
    setattr(network, part, nn.Sequential(nn.Dropout(), nn.Linear(7, 3)))
    assert without_classifier(network, "net").num_features == 7
    rest = getattr(network, part)
    assert not list(rest.parameters())
    assert rest(torch.zeros(2, 7, 1, 1)).shape == (2, 7)
    with pytest.raises(ValueError, match="has no classifier named"):
        without_classifier(nn.Module(), "net")


def test_layers_before_the_classifier_stay() -> None:
    """As in torchvision's ConvNeXt: a norm of the pooled map, flattened, then the classifier."""
    network = nn.Module()
    network.classifier = nn.Sequential(nn.GroupNorm(1, 7), nn.Flatten(), nn.Linear(7, 3))
    without_classifier(network, "net")
    assert list(network.state_dict()) == ["classifier.0.weight", "classifier.0.bias"]
    assert network.classifier(torch.zeros(2, 7, 1, 1)).shape == (2, 7)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Conv2d(3, 4, 3), r"must give one vector per glimpse, \[2, 4\].*got \[2, 4, 6, 6\]"),
        (nn.Conv2d(1, 4, 3), "'timm:net' cannot take glimpses of 8 x 8 pixels: .*channels"),
    ],
)
def test_a_backbone_is_tried_before_training(network: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_features(network, "timm:net", dim=4, in_chans=3, size=(8, 8))


def test_timms_features_are_as_wide_as_its_classifiers_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MobileNetV3 has a layer behind the pooled map; transformers are made for one size."""

    class Network(Average):
        head_hidden_size = 5
        num_features = 3

        def set_input_size(self, img_size: tuple[int, int]) -> None:
            self.size = img_size

    timm = SimpleNamespace(
        is_model=lambda name: True, create_model=lambda name, num_classes, in_chans: Network()
    )
    monkeypatch.setitem(sys.modules, "timm", timm)
    model = create_model("mgnet_timm:net", glimpse_size=16)
    assert (model.dim, model.backbone.size) == (5, (16, 16))


def test_a_library_for_another_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(foreign.importlib, "import_module", fail)
    with pytest.raises(ImportError, match=r"another build of torch .*nms.*fits torch"):
        create_model("mgnet_torchvision:resnet18")
