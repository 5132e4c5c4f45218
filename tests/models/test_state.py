"""Names, shapes, counts and first values of the parameters; the config; the registry."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from mgnet_fast.models import MGNet, MGNetConfig, create_model, list_models
from mgnet_fast.models.backbones.by_name import create_backbone, list_backbones


def on_meta(name: str, **overrides: Any) -> MGNet:
    with torch.device("meta"):
        return create_model(name, **overrides)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def heads(dim: int, classes: int, has_glimpse_head: bool) -> dict[str, list[int]]:
    d = dim + 3
    shapes = {
        "feat_fusion.mha.in_proj_weight": [3 * d, d],
        "feat_fusion.mha.in_proj_bias": [3 * d],
        "feat_fusion.mha.out_proj.weight": [d, d],
        "feat_fusion.mha.out_proj.bias": [d],
        "feat_fusion.norm.weight": [d],
        "feat_fusion.norm.bias": [d],
        "loc_network.fc.weight": [3, d],
        "loc_network.fc.bias": [3],
        "global_fc.fc.weight": [classes, d],
        "global_fc.fc.bias": [classes],
    }
    if has_glimpse_head:
        shapes |= {"glimpse_fc.fc.weight": [classes, dim], "glimpse_fc.fc.bias": [classes]}
    return shapes


def batch_norm(name: str, width: int) -> dict[str, list[int]]:
    shapes = {f"{name}.{key}": [width] for key in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {f"{name}.num_batches_tracked": []}


def test_state_dict_of_the_toy_network() -> None:
    kernels = {1: [16, 1, 5, 5], 2: [32, 16, 5, 5], 3: [64, 32, 3, 3], 4: [128, 64, 3, 3]}
    expected = heads(128, 10, True)
    for index, shape in kernels.items():
        expected[f"backbone.conv{index}.weight"] = shape
        expected[f"backbone.conv{index}.bias"] = shape[:1]
    model = create_model("mgnet_toy")
    assert {name: list(t.shape) for name, t in model.state_dict().items()} == expected
    assert len(expected) == 20
    assert count(model) == 178_036


@pytest.mark.parametrize(
    ("overrides", "keys", "parameters"),
    [
        ({}, 132, 12_344_950),
        ({"alpha": 0.0}, 130, 12_293_650),
        ({"num_glimpses": 1}, 130, 12_293_650),
    ],
)
def test_state_dict_of_resnet18(overrides: dict[str, Any], keys: int, parameters: int) -> None:
    expected = heads(512, 100, not overrides)
    expected["backbone.conv1.weight"] = [64, 3, 7, 7]
    expected |= batch_norm("backbone.bn1", 64)
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            before = width // 2 if stage > 1 and block == 0 else width
            prefix = f"backbone.layer{stage}.{block}."
            expected[prefix + "conv1.weight"] = [width, before, 3, 3]
            expected[prefix + "conv2.weight"] = [width, width, 3, 3]
            expected |= batch_norm(prefix + "bn1", width) | batch_norm(prefix + "bn2", width)
            if before != width:
                expected[prefix + "downsample.0.weight"] = [width, before, 1, 1]
                expected |= batch_norm(prefix + "downsample.1", width)
    model = on_meta("mgnet_resnet18", num_classes=100, **overrides)
    assert {name: list(t.shape) for name, t in model.state_dict().items()} == expected
    assert len(expected) == keys
    assert count(model) == parameters


@pytest.mark.parametrize(
    ("name", "published", "dim"),
    [
        ("resnet18", 11_689_512, 512),
        ("resnet34", 21_797_672, 512),
        ("resnet50", 25_557_032, 2048),
        ("resnext50_32x4d", 25_028_904, 2048),
        ("wide_resnet50_2", 68_883_240, 2048),
    ],
)
def test_backbones_have_torchvisions_number_of_parameters(
    name: str, published: int, dim: int
) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name)
    assert backbone.num_features == dim
    assert count(backbone) + 1000 * dim + 1000 == published


def test_bottleneck_names_and_where_the_stride_is() -> None:
    with torch.device("meta"):
        backbone = create_backbone("resnext50_32x4d")
    names = [name for name in backbone.state_dict() if name.startswith("layer2.0.")]
    assert [name for name in names if name.endswith("weight")] == [
        f"layer2.0.{part}.weight"
        for part in ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample.0", "downsample.1")
    ]
    block = backbone.layer2[0]
    assert [conv.stride for conv in (block.conv1, block.conv2, block.conv3)] == [
        (1, 1),
        (2, 2),
        (1, 1),
    ]
    assert block.conv2.groups == 32
    assert list(block.conv2.weight.shape) == [256, 8, 3, 3]


def test_a_stem_without_pool_has_the_same_names_and_a_larger_map() -> None:
    backbone, pooled = create_backbone("resnet18", stem_pool=False), create_backbone("resnet18")
    assert list(backbone.state_dict()) == list(pooled.state_dict())
    sizes = []
    for network in (backbone, pooled):
        network.eval().layer1.register_forward_hook(
            lambda module, args, out: sizes.append(tuple(out.shape[2:]))
        )
        network(torch.zeros(1, 3, 32, 32))
    assert sizes == [(16, 16), (8, 8)]


def assert_normal(weight: torch.Tensor, variance: float) -> None:
    """Mean 0 and the variance, within five standard errors; and not uniform."""
    n = weight.numel()
    assert abs(weight.mean()) < 5 * math.sqrt(variance / n)
    assert abs(weight.var() / variance - 1) < 5 * math.sqrt(2 / n)
    assert weight.abs().max() > 2.5 * math.sqrt(variance)


def test_initial_values() -> None:
    torch.manual_seed(0)
    model = create_model("mgnet_resnet18", num_classes=100)
    for name in (
        "feat_fusion.mha.in_proj_weight",
        "feat_fusion.mha.out_proj.weight",
        "loc_network.fc.weight",
        "global_fc.fc.weight",
        "glimpse_fc.fc.weight",
    ):
        weight = model.get_parameter(name).detach()
        assert_normal(weight, 2 / weight.shape[1])
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
    conv = model.get_parameter("backbone.layer2.0.conv1.weight").detach()
    assert_normal(conv, 2 / (128 * 9))  # fan out, unlike 64 * 9
    for name in ("feat_fusion.norm.weight", "backbone.layer3.1.bn2.weight"):
        assert (model.get_parameter(name) == 1).all()


def test_the_toy_backbone_starts_with_pytorchs_default() -> None:
    torch.manual_seed(3)
    toy = create_backbone("toy", in_chans=1)
    torch.manual_seed(3)
    assert torch.equal(toy.conv1.weight, nn.Conv2d(1, 16, 5).weight)


def test_defaults_belong_to_the_name() -> None:
    toy, resnet = create_model("mgnet_toy").config, on_meta("mgnet_resnet50").config
    assert (toy.num_classes, toy.in_chans, toy.glimpse_size, toy.num_glimpses) == (10, 1, 28, 3)
    assert (toy.mean, toy.std) == ((0.1307,), (0.3081,))
    assert (resnet.num_classes, resnet.in_chans) == (1000, 3)
    assert (resnet.glimpse_size, resnet.num_glimpses, resnet.alpha) == (96, 4, 0.6)
    assert resnet.scale_range == (0.2, 0.5)
    assert (resnet.mean, resnet.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert resnet.gradient_scale == 0.01
    assert on_meta("mgnet_resnet18").config.gradient_scale == 0.02
    twin = on_meta("ffnet_resnet50").config
    assert (twin.num_glimpses, twin.glimpse_size, twin.alpha) == (1, None, 0.0)


def test_mean_and_std_have_no_default_for_other_channels() -> None:
    config = on_meta("mgnet_resnet18", in_chans=5).config
    assert (config.mean, config.std) == (None, None)


def test_every_listed_name_can_be_made() -> None:
    names = list_models()
    assert len(set(names)) == len(names)
    twins = {f"{family}_{name}" for family in ("mgnet", "ffnet") for name in list_backbones()}
    assert twins <= set(names)
    for name in names:
        assert on_meta(name).backbone_name == name.split("_", 1)[1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mgnet_resnet81", "did you mean mgnet_resnet18"),
        ("resnet50", "ffnet_resnet50"),
        ("zebra", "known are mgnet_toy"),
    ],
)
def test_an_unknown_name_proposes_close_ones(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"model '{name}' is unknown: .*{hint}"):
        create_model(name)


def test_an_unknown_backbone_proposes_close_ones() -> None:
    with pytest.raises(ValueError, match=r"backbone 'resnet_50' is unknown: did you mean resnet50"):
        MGNet(MGNetConfig(), "resnet_50")


def test_an_unknown_option_proposes_a_close_one() -> None:
    with pytest.raises(ValueError, match=r"unknown options \['num_class'\] \(did you mean num_cla"):
        create_model("mgnet_toy", num_class=3)


class Average(nn.Module):
    """A backbone of somebody else: the mean of each channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize("attribute", ["num_features", "dim", None])
def test_any_module_is_a_backbone(attribute: str | None) -> None:
    backbone = Average()
    if attribute:
        setattr(backbone, attribute, 3)
    config = MGNetConfig(num_classes=4, glimpse_size=8)
    if attribute is None:
        with pytest.raises(ValueError, match="dim must be given for a backbone without"):
            MGNet(config, backbone)
    model = MGNet(config, backbone, None if attribute else 3)
    assert model(torch.randn(2, 3, 20, 20))["n_feature"].shape == (4, 2, 3)
    assert model.backbone_name is None
