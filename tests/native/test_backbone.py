"""Whole backbones in one call: the layers' own numbers, and an image's bits its own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support.tolerances import BACKBONE
from torch import Tensor, nn

from mgnet_fast import create_model
from mgnet_fast.engine.convolutions.native_backbone import NativeBackbone, takes


@pytest.fixture(scope="module", params=["mgnet_toy", "mgnet_resnet18", "mgnet_resnet50"])
def backbone(request: pytest.FixtureRequest) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(request.param).eval().backbone


def glimpses(backbone: nn.Module, count: int, height: int, width: int) -> Tensor:
    channels = next(backbone.parameters()).shape[1]
    generator = torch.Generator().manual_seed(count)
    return torch.randn((count, channels, height, width), generator=generator)


@torch.no_grad()
def test_near_float64(isa: str, backbone: nn.Module) -> None:
    whole, exact = NativeBackbone(backbone), copy.deepcopy(backbone).double()
    for count, height, width in ((2, 40, 40), (1, 33, 47), (0, 40, 40)):
        x = glimpses(backbone, count, height, width)
        found, wanted = whole(x), exact(x.double())
        assert found.shape == wanted.shape
        if count:
            assert float((found - wanted).abs().max()) <= BACKBONE * float(wanted.abs().max())
        assert torch.equal(whole(x.contiguous(memory_format=torch.channels_last)), found)


@torch.no_grad()
def test_the_bits_of_an_image_are_its_own(isa: str, backbone: nn.Module) -> None:
    whole, x = NativeBackbone(backbone), glimpses(backbone, 9, 40, 36)
    together = whole(x)
    for first, last in ((0, 1), (7, 9), (2, 7)):
        assert torch.equal(whole(x[first:last]), together[first:last])
    torch.set_num_threads(3)
    assert torch.equal(whole(x), together)


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
@torch.no_grad()
def test_what_is_not_finite_stays_with_its_image(isa: str, odd: float) -> None:
    backbone = create_model("mgnet_toy").eval().backbone
    x = glimpses(backbone, 3, 28, 28)
    clean = NativeBackbone(backbone)(x)
    x[1, 0, 5, 27] = odd
    found = NativeBackbone(backbone)(x)
    assert bool(found[1].isnan().all())
    assert torch.equal(found[[0, 2]], clean[[0, 2]])


def test_which_backbones_it_takes() -> None:
    assert takes(create_model("mgnet_resnet50").backbone)
    assert not takes(create_model("mgnet_resnext50_32x4d").backbone)


def test_plans_that_do_not_fit(native: Any) -> None:
    step = (None, 0, 0, 0, (4, 6, 6, 3, 2, 1), 0, -1, 1)
    with pytest.raises(ValueError, match="the buffers of a step must hold its maps"):
        native.backbone_plan((step,), (35,), 144, 9, 4)
    with pytest.raises(TypeError, match="STEPS must be a tuple, got list"):
        native.backbone_plan([step], (36,), 144, 9, 4)
    with pytest.raises(TypeError, match="STEP takes 8 arguments, got 7"):
        native.backbone_plan((step[:7],), (36,), 144, 9, 4)
    plan = native.backbone_plan((step,), (36,), 144, 9, 4)
    with pytest.raises(ValueError, match="addresses of a backbone must not be 0"):
        native.backbone(plan, 0, 1, 0, 1)
    with pytest.raises((TypeError, ValueError)):
        native.convolution(plan, 0, 1, 0, 0, 0, 0, 0, 1)
