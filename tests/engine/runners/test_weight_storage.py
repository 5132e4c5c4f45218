"""Weights of a float32 backbone in 16 and 8 bits: the same answers, and sentences where not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mgnet_fast import Engine, Never, create_model
from mgnet_fast.engine.convolutions import native_convolution, packed_backbone, packed_convolution
from mgnet_fast.models import MGNet
from mgnet_fast.ops.backends import native

pytestmark = pytest.mark.skipif(
    (packed_convolution.refusal() or native_convolution.refusal()) is not None,
    reason=str(packed_convolution.refusal() or native_convolution.refusal()),
)

# Mean difference of a logit, relative to the largest: one rounding of a weight, averaged over sums.
LOGIT_MEAN = {"fp16": 2**-11, "int8": 2**-6}


@pytest.mark.parametrize("weights", LOGIT_MEAN)
def test_labels_stay(model: MGNet, digit_scenes: Tensor, weights: str) -> None:
    engine = Engine(
        model, runner="packed", weights=weights, exit=Never(), calibration=digit_scenes.split(64)
    )
    assert (engine.weights, engine.precision) == (weights, "fp32")
    found = engine.deviation
    assert found is not None
    assert found.labels_changed <= (1 if weights == "fp16" else 5)
    assert 0 < found.logit_mean < LOGIT_MEAN[weights]


def test_an_image_has_the_same_bits_in_any_company(model: MGNet, digit_scenes: Tensor) -> None:
    for weights in ("fp32", "fp16", "int8"):
        alone, together = (
            Engine(model, slots=slots, runner="packed", weights=weights) for slots in (1, 7)
        )
        for result, image in zip(together.predict(digit_scenes[:25]), digit_scenes, strict=False):
            expected = alone.predict([image])[0]
            assert torch.equal(result.logits, expected.logits)
            assert torch.equal(result.regions, expected.regions)


def test_only_the_packed_runner_stores_fewer_bits(model: MGNet) -> None:
    assert Engine(model, slots=1, weights="fp16").runner == "packed"
    with pytest.raises(ValueError, match=r"'eager' cannot run: it stores weights in fp32, not in"):
        Engine(model, runner="eager", weights="fp16")


def test_another_processor_is_a_reason(model: MGNet, monkeypatch: pytest.MonkeyPatch) -> None:
    class Portable:
        @staticmethod
        def selected_isa() -> str:
            return "portable"

    monkeypatch.setattr(native, "extension", Portable())
    message = "weights 'int8' need this package's kernels: .*AVX2 and F16C.* runs portable"
    with pytest.raises(ValueError, match=message):
        Engine(model, runner="packed", weights="int8")


def test_without_the_kernels_onednn_computes_all(
    model: MGNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    kind = packed_convolution.PackedConvolution

    def recorded(*arguments: Any) -> Any:
        made.append(kind(*arguments))
        return made[-1]

    monkeypatch.setattr(packed_convolution, "PackedConvolution", recorded)
    packed_backbone.pack(model.backbone)
    assert not made
    monkeypatch.setattr(native, "extension", None)
    packed_backbone.pack(model.backbone)
    assert len(made) == 4


def test_grouped_convolutions_stay_with_onednn() -> None:
    backbone = create_model("mgnet_resnext50_32x4d").eval().backbone
    x = torch.randn(2, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = packed_backbone.pack(backbone, weights="fp16")(
            x.contiguous(memory_format=torch.channels_last)
        )
        wanted = backbone(x)
    assert float((found - wanted).abs().max()) <= 2**-8 * float(wanted.abs().max())
