"""Backbones in bfloat16 and float16: as near as their rounding allows, everything else float32."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from mgnet_fast import Engine, MGNet, MGNetConfig, Never, create_model
from mgnet_fast.engine.convolutions import packed_backbone, packed_convolution
from mgnet_fast.engine.convolutions.lower_precision import DTYPES, lowered

HALVES = {name: dtype for name, dtype in DTYPES.items() if dtype != torch.float32}
# Of the features' length, relative to one rounding to the dtype: of weights, sums and results of up
# to 21 convolutions.
ROUNDINGS = 8


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def network(name: str, **changes: int) -> MGNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(name, **changes).eval()
    generator = torch.Generator().manual_seed(3)
    for norm in model.backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_(0.0, 0.1, generator=generator)
            norm.running_var.uniform_(0.5, 2.0, generator=generator)
    return model


def check_features(backbone: nn.Module, found: Tensor, x: Tensor, dtype: torch.dtype) -> None:
    exact = copy.deepcopy(backbone).double()(x.double())
    assert found.dtype == torch.float32
    rounding = torch.finfo(dtype).eps / 2
    assert (found - exact).norm() <= ROUNDINGS * rounding * exact.norm()


@pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["mgnet_toy", "mgnet_resnet18"])
@torch.no_grad()
def test_features_with_batch_norm_folded(
    name: str, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    backbone = network(name).backbone
    x = images(2, 1 if name == "mgnet_toy" else 3, 32, 32).to(dtype)
    found = lowered(backbone, dtype, layout)(x.contiguous(memory_format=layout))
    check_features(backbone, found, x, dtype)


@pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)
@pytest.mark.parametrize("name", ["mgnet_toy", "mgnet_resnet18", "mgnet_resnext50_32x4d"])
@torch.no_grad()
def test_features_with_packed_weights(name: str, dtype: torch.dtype) -> None:
    refusal = packed_convolution.refusal(dtype)
    if refusal is not None:
        pytest.skip(refusal)
    backbone = network(name).backbone
    x = images(2, 1 if name == "mgnet_toy" else 3, 48, 48).to(dtype)
    packed = packed_backbone.pack(backbone, dtype)
    check_features(backbone, packed(x.contiguous(memory_format=torch.channels_last)), x, dtype)


@pytest.mark.parametrize("precision", HALVES)
def test_a_processor_without_the_units_is_a_reason(precision: str, model: MGNet) -> None:
    if packed_convolution.refusal(HALVES[precision]) is None:
        pytest.skip(f"this processor has units for {precision}")
    with pytest.raises(
        ValueError, match=r"'packed' cannot run: this processor has no instructions for"
    ):
        Engine(model, precision=precision, runner="packed")
    engine = Engine(model, precision=precision, slots=1)
    assert engine.runner in ("eager", "channels_last")
    assert "; packed cannot run: this processor has no instructions for" in engine.reason


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("runner", ["eager", "channels_last"])
def test_the_shipped_network_keeps_its_labels(
    model: MGNet, digit_scenes: Tensor, runner: str, precision: str
) -> None:
    scenes = digit_scenes[:50]
    engine = Engine(model, precision=precision, runner=runner, exit=Never(), calibration=[scenes])
    assert engine.deviation is not None
    assert engine.deviation.labels_changed == 0
    # Twice the rounding of a number, as glimpses make larger what it does to a region.
    assert 0 < engine.deviation.logit_mean < 2 * torch.finfo(HALVES[precision]).eps
    results = engine.predict(list(scenes[:3].numpy().transpose(0, 2, 3, 1)))
    assert all(result.logits.dtype == torch.float32 for result in results)


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize("runner", ["eager", "channels_last"])
def test_one_glimpse_is_off_by_less_than_the_rounding_of_a_number(
    digit_scenes: Tensor, runner: str, precision: str
) -> None:
    """Of one glimpse only: what rounding does to a region, the glimpses after it make larger."""
    model = create_model("mgnet_toy", pretrained=True, num_glimpses=1).eval()
    engine = Engine(model, precision=precision, runner=runner, calibration=digit_scenes[:50])
    assert engine.deviation is not None
    assert 0 < engine.deviation.logit_mean < torch.finfo(HALVES[precision]).eps


@pytest.mark.parametrize("precision", HALVES)
def test_what_is_not_finite_stays_with_its_image(model: MGNet, precision: str) -> None:
    scenes = images(3, 1, 112, 112)
    scenes[1, 0, 40:70, 40:70] = torch.nan
    results = Engine(model, precision=precision, slots=2, exit=Never()).predict(scenes)
    assert [result.finite for result in results] == [True, False, True]


@pytest.mark.parametrize("precision", HALVES)
def test_a_large_look_and_a_foreign_backbone(precision: str) -> None:
    class Foreign(nn.Module):
        num_features = 4

        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.convolution(x).mean(dim=(2, 3))

    config = MGNetConfig(num_classes=3, in_chans=1, num_glimpses=2, glimpse_size=8)
    for model in (MGNet(config, Foreign()), network("ffnet_toy")):
        scenes = images(3, 1, 30, 30)
        weights = next(model.backbone.parameters())
        engine = Engine(
            model, precision=precision, slots=3, runner="channels_last", calibration=[scenes]
        )
        assert engine.deviation is not None
        assert 0 < engine.deviation.logit_max < 4 * torch.finfo(HALVES[precision]).eps
        assert weights.dtype == torch.float32
