"""The published costs, to the last digit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mgnet_fast.models import MGNet, MGNetConfig, count_multiply_adds, create_model


def on_meta(name: str, **overrides: Any) -> MGNet:
    with torch.device("meta"):
        return create_model(name, **overrides)


IMAGENET = [
    ("resnet18", 1814675289, [334217049, 669494998, 1005833847, 1343233596], 1336868196),
    ("resnet50", 4104173913, [767736153, 1552298710, 2353687671, 3171903036], 3070944612),
    ("resnext50_32x4d", 4245469529, [793688409, 1604203222, 2431544439, 3275712060], 3174753636),
    ("wide_resnet50_2", 11413010777, [2110175577, 4237177558, 6381005943, 8541660732], 8440702308),
]


@pytest.mark.parametrize(("name", "full", "by_glimpses", "cached"), IMAGENET)
def test_table_1(name: str, full: int, by_glimpses: list[int], cached: int) -> None:
    assert count_multiply_adds(on_meta(f"ffnet_{name}", num_classes=100), 224) == full
    model = on_meta(f"mgnet_{name}", num_classes=100)
    counts = [count_multiply_adds(model, 224, num_glimpses=t) for t in range(1, 5)]
    assert counts == by_glimpses
    assert count_multiply_adds(model, (224, 224)) == by_glimpses[-1]
    assert count_multiply_adds(model, 224, "cached") == cached


def test_table_4() -> None:
    model = create_model("mgnet_toy")
    counts = [count_multiply_adds(model, 112, num_glimpses=t) for t in range(1, 6)]
    assert counts == [3471051, 7010746, 10619085, 14296068, 18041695]
    assert count_multiply_adds(create_model("ffnet_toy"), 112) == 67957707
    assert count_multiply_adds(model, 112, "cached", num_glimpses=5) == 17355255


@pytest.mark.parametrize(
    ("name", "plain", "full", "glimpses"),
    [
        ("resnet18", 149671578, 565737114, 430134953),
        ("resnet34", 300871322, 1170536090, 883734185),
    ],
)
def test_table_3(name: str, plain: int, full: int, glimpses: int) -> None:
    twin = on_meta(f"ffnet_{name}", num_classes=200)
    assert count_multiply_adds(twin, 64, "table3") == plain
    twin = on_meta(f"ffnet_{name}", num_classes=200, stem_pool=False)
    assert count_multiply_adds(twin, 64, "table3") == full
    model = on_meta(
        f"mgnet_{name}", num_classes=200, stem_pool=False, num_glimpses=3, glimpse_size=32
    )
    assert count_multiply_adds(model, 64, "table3") == glimpses


def test_counting_leaves_the_model_as_it_is() -> None:
    model = create_model("mgnet_resnet18", num_classes=2).train()
    model.backbone.layer2.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    count_multiply_adds(model, 224)
    assert modes == [module.training for module in model.modules()]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.device.type == "cpu"


class Mixture(nn.Module):
    """Linear layers and a transposed convolution, called as functions and as modules."""

    dim = 5

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 4, 2, stride=2)
        self.fc = nn.Linear(4, 5, bias=False)
        self.extra = nn.Parameter(torch.zeros(5, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(self.fc(self.up(x).mean(dim=(2, 3))), self.extra)


def test_inference_mode_counts_the_same() -> None:
    model = create_model("mgnet_toy")
    expected = count_multiply_adds(model, 112)
    with torch.inference_mode():
        assert count_multiply_adds(model, 112) == expected
        assert count_multiply_adds(create_model("mgnet_toy"), 112) == expected


def test_a_foreign_backbone_is_counted_by_what_it_does() -> None:
    model = MGNet(MGNetConfig(num_classes=2, num_glimpses=1, glimpse_size=6), Mixture())
    backbone = 3 * 36 * 4 * 4 + 4 * 5 + 5 * 5
    assert count_multiply_adds(model, 12) == backbone + 4 * 8**2 + 8 * 2 + 3 * 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, "image_size must be at least 1 pixel each way, got 0"),
        ({"image_size": 112, "convention": "flops"}, "convention must be one of"),
        ({"image_size": 112, "num_glimpses": 0}, "num_glimpses must be an int of at least 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        count_multiply_adds(create_model("mgnet_toy"), **arguments)


def test_only_networks_of_this_package_are_counted() -> None:
    with pytest.raises(TypeError, match="model must be a GlimpseNetwork, got Linear"):
        count_multiply_adds(nn.Linear(1, 1), 224)
