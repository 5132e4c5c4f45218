"""The packed runner: the network's own features and predictions, without a second copy changed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from mgnet_fast import Confidence, Engine, Never, create_model
from mgnet_fast.engine.convolutions import packed_backbone, packed_convolution
from mgnet_fast.models import MGNet

pytestmark = pytest.mark.skipif(
    packed_convolution.refusal() is not None, reason=str(packed_convolution.refusal())
)


def trained_statistics(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.normal_(0.0, 0.1, generator=generator)
            norm.running_var.uniform_(0.5, 2.0, generator=generator)
            nn.init.normal_(norm.bias, 0.0, 0.1, generator=generator)
    return module.eval()


def images(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mgnet_toy", {}),
        ("mgnet_resnet18", {}),
        ("mgnet_resnet18", {"stem_pool": False}),
        ("mgnet_resnet50", {}),
        ("mgnet_resnext50_32x4d", {}),
    ],
)
@torch.no_grad()
def test_features_are_the_backbones(name: str, changes: dict[str, bool]) -> None:
    model = create_model(name, **changes)
    backbone = trained_statistics(model.backbone)
    exact = copy.deepcopy(backbone).double()
    packed = packed_backbone.pack(backbone)
    for count, side in ((3, 40), (1, 40), (2, 33)):  # packed for one size, then for another
        x = images((count, model.config.in_chans, side, side))
        expected = exact(x.double())
        error = (packed(x.contiguous(memory_format=torch.channels_last)) - expected).abs().max()
        own = (backbone(x) - expected).abs().max()
        # As near to float64 as the network itself, give or take what another order costs.
        assert error <= 2 * own + 1e-6 * expected.abs().max()


def test_nan_stays_with_its_image() -> None:
    packed = packed_backbone.pack(create_model("mgnet_resnet18").eval().backbone)
    x = images((3, 3, 40, 40))
    x[1, 2, 5, 7] = torch.nan
    with torch.no_grad():
        feature = packed(x.contiguous(memory_format=torch.channels_last))
    assert feature.isnan().any(dim=1).tolist() == [False, True, False]
    assert feature[1].isnan().all()


def test_predictions_are_the_plain_runners() -> None:
    model = create_model("mgnet_toy", pretrained=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scenes = torch.rand((5, 1, 112, 112), generator=torch.Generator().manual_seed(2))
    results = {
        runner: Engine(model, runner=runner, slots=3, exit=Never()).predict(scenes)
        for runner in ("eager", "packed")
    }
    for one, other in zip(results["eager"], results["packed"], strict=True):
        assert one.label == other.label
        torch.testing.assert_close(one.logits, other.logits, atol=2e-3, rtol=0)
        torch.testing.assert_close(one.regions, other.regions, atol=1e-4, rtol=0)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_backbone_of_unknown_structure_is_refused_in_words() -> None:
    class Foreign(nn.Module):
        num_features = 4

        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=(2, 3)).repeat(1, 4)

    from mgnet_fast import MGNet, MGNetConfig

    model = MGNet(MGNetConfig(num_classes=3, in_chans=1, num_glimpses=2, glimpse_size=8), Foreign())
    with pytest.raises(ValueError, match=r"'packed' cannot run: it knows .*, not Foreign"):
        Engine(model, runner="packed")
    assert Engine(model, slots=1).runner in ("eager", "channels_last")


def test_other_operators_than_expected_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise RuntimeError("no such operator\nand more")

    packed_convolution.refusal.cache_clear()
    monkeypatch.setattr(packed_convolution, "PackedConvolution", missing)
    try:
        assert packed_convolution.refusal() == (
            "the oneDNN operators of this torch are not the expected ones: no such operator"
        )
    finally:
        packed_convolution.refusal.cache_clear()


def test_an_image_gets_the_same_answer_in_any_company(model: MGNet, digit_scenes: Tensor) -> None:
    """The loop region, glimpse, region would amplify what differs between one row and many."""
    exit = Confidence(0.9)
    alone = Engine(model, slots=1, runner="packed", exit=exit)
    for slots in (3, 16):
        together = Engine(model, slots=slots, runner="packed", exit=exit).predict(digit_scenes[:60])
        for result, image in zip(together, digit_scenes, strict=False):
            expected = alone.predict([image])[0]
            assert (result.label, result.glimpses) == (expected.label, expected.glimpses)
            torch.testing.assert_close(result.logits, expected.logits, atol=1e-4, rtol=0)
