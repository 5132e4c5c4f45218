"""The way of an image: against an oracle in float64, and each trap of its details."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast.models import MGNet, create_model, published_forward
from mgnet_fast.models.mgnet.fusion import FusionMemory


def toy_backbone(weights: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        for index, padding in enumerate((0, 2, 1, 1), start=1):
            name = f"backbone.conv{index}"
            x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)
            x = F.relu(x)
            if index < 4:
                x = F.max_pool2d(x, 2)
        return x.mean(dim=(2, 3))

    return run


def mixed_loss(result: dict[str, Tensor]) -> Tensor:
    """Touches every output with weights of its own, so that no gradient can hide."""
    total = torch.zeros((), dtype=torch.float64)
    for seed, name in enumerate(sorted(result)):
        generator = torch.Generator().manual_seed(seed)
        total = total + (result[name] * torch.randn(result[name].shape, generator=generator)).sum()
    return total


@pytest.mark.parametrize("glimpse_loss", ["reference", "paper"])
def test_outputs_and_gradients_equal_the_oracle(
    toy: MGNet, scenes: Tensor, oracle: Callable[..., dict[str, Tensor]], glimpse_loss: str
) -> None:
    toy.config = replace(toy.config, glimpse_loss=glimpse_loss)
    weights = {name: p.detach().clone().requires_grad_() for name, p in toy.named_parameters()}
    expected = oracle(
        weights,
        toy_backbone(weights),
        scenes,
        size=(17, 19),
        steps=3,
        gradient_scale=0.02,
        aux_from=0 if glimpse_loss == "paper" else 1,
    )
    actual = toy(scenes)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=1e-11)
    mixed_loss(expected).backward()
    mixed_loss(actual).backward()
    for name, parameter in toy.named_parameters():
        torch.testing.assert_close(parameter.grad, weights[name].grad, rtol=1e-9, atol=1e-10)


def test_published_forward_equals_the_network_with_gradients(toy: MGNet, scenes: Tensor) -> None:
    plain = copy.deepcopy(toy)
    expected, actual = published_forward(plain, scenes), toy(scenes)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=1e-11)
    mixed_loss(expected).backward()
    mixed_loss(actual).backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(
            toy.get_parameter(name).grad, parameter.grad, rtol=1e-9, atol=1e-10
        )


def test_gradient_to_the_image_equals_the_published_algorithms(toy: MGNet, scenes: Tensor) -> None:
    gradients = []
    for forward in (toy, lambda images: published_forward(toy, images)):
        images = scenes.clone().requires_grad_()
        forward(images)["n_logit"][-1].square().sum().backward()
        gradients.append(images.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-10)


def test_resnet_equals_the_oracle_in_both_modes(oracle: Callable[..., dict[str, Tensor]]) -> None:
    torch.manual_seed(0)
    model = create_model("mgnet_resnet18", num_classes=7, num_glimpses=2, glimpse_size=33).double()
    images = torch.randn(2, 3, 50, 41, dtype=torch.float64)
    weights = dict(model.state_dict())
    for is_training in (False, True):
        model.train(is_training)
        expected = oracle(
            weights,
            copy.deepcopy(model.backbone),
            images,
            size=(33, 33),
            steps=2,
            gradient_scale=0.02,
            aux_from=1 if is_training else None,
        )
        actual = model(images)
        assert list(actual) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value, rtol=1e-9, atol=1e-9)


def test_shapes_of_the_result(toy: MGNet, scenes: Tensor) -> None:
    shapes = {name: list(value.shape) for name, value in toy(scenes).items()}
    assert shapes == {
        "n_logit": [3, 4, 10],
        "n_affparam": [3, 4, 3],
        "n_feature": [3, 4, 128],
        "n_aux_logit": [2, 4, 10],
    }
    assert "n_aux_logit" not in toy.eval()(scenes)


@pytest.mark.parametrize(("loss", "rows"), [("reference", None), ("paper", 1)])
def test_one_glimpse_of_a_network_of_three(
    toy: MGNet, scenes: Tensor, loss: str, rows: int | None
) -> None:
    toy.config = replace(toy.config, glimpse_loss=loss)
    result = toy(scenes, num_glimpses=1)
    assert result["n_logit"].shape[0] == 1
    assert (len(result["n_aux_logit"]) if rows else result.get("n_aux_logit")) == rows


def test_more_glimpses_begin_with_the_same_ones(toy: MGNet, scenes: Tensor) -> None:
    toy.eval()
    five = toy(scenes, num_glimpses=5)["n_logit"]
    assert five.shape[0] == 5
    torch.testing.assert_close(five[:3], toy(scenes)["n_logit"], rtol=0, atol=0)


def test_the_first_glimpse_is_the_whole_image_and_hits_its_corner_pixels() -> None:
    model = create_model("mgnet_toy").double()
    columns = torch.arange(112, dtype=torch.float64)
    glimpse, region = model.first_glimpse(columns.expand(1, 1, 112, 112))
    torch.testing.assert_close(region, torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64))
    expected = torch.linspace(0, 111, 28, dtype=torch.float64)
    torch.testing.assert_close(glimpse[0, 0, 5], expected, rtol=0, atol=1e-12)


def test_a_region_is_scale_then_width_then_height(toy: MGNet) -> None:
    rows = torch.arange(41, dtype=torch.float64).view(1, 1, 41, 1).expand(1, 1, 41, 61)
    columns = torch.arange(61, dtype=torch.float64).expand(1, 1, 41, 61)
    region = torch.tensor([[0.25, 0.5, -0.5]], dtype=torch.float64)
    row, column = toy.glimpse_gen(rows, region), toy.glimpse_gen(columns, region)
    torch.testing.assert_close(column[0, 0, 0, [0, -1]], torch.tensor([37.5, 52.5]).double())
    torch.testing.assert_close(row[0, 0, [0, -1], 0], torch.tensor([5.0, 15.0]).double())


def test_positions_give_no_gradient_to_the_localization(toy: MGNet) -> None:
    """On a constant image the glimpse does not depend on its region: only the position could."""
    result = toy(torch.full((2, 1, 40, 40), 3.0, dtype=torch.float64))
    result["n_logit"].square().sum().backward()
    assert toy.global_fc.fc.weight.grad.abs().max() > 0
    assert toy.loc_network.fc.weight.grad.abs().max() < 1e-10


def test_gradient_scale_multiplies_the_localizations_gradient_only(
    toy: MGNet, scenes: Tensor
) -> None:
    outputs, gradients = [], []
    for factor in (1.0, 0.25):
        toy.loc_network.gradient_scale = factor
        toy.zero_grad()
        result = toy(scenes, num_glimpses=2)
        result["n_logit"][1].square().sum().backward()
        outputs.append(result["n_logit"].detach())
        gradients.append(
            [toy.loc_network.fc.weight.grad.clone(), toy.global_fc.fc.weight.grad.clone()]
        )
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=0)
    torch.testing.assert_close(gradients[0][0] * 0.25, gradients[1][0], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=0, atol=0)
    assert gradients[0][0].abs().max() > 0


def test_regions_lie_inside_the_image_and_in_the_scale_range(toy: MGNet, scenes: Tensor) -> None:
    toy.loc_network.fc.weight.data.mul_(50)
    scale, *offsets = toy(scenes)["n_affparam"][1:].unbind(dim=2)
    assert scale.min() >= 0.2
    assert scale.max() <= 0.5
    for offset in offsets:
        assert (offset.abs() + scale <= 1 + 1e-12).all()


def test_the_last_query_row_of_full_attention(toy: MGNet) -> None:
    fusion = toy.feat_fusion
    torch.nn.init.normal_(fusion.mha.in_proj_bias)
    tokens = torch.randn(5, 6, 131, generator=torch.Generator().manual_seed(0)).double()
    memory = FusionMemory()
    for step in range(5):
        fused = fusion(tokens[step], memory)
        seen = tokens[: step + 1]
        full = fusion.mha(seen, seen, seen, need_weights=False)[0]
        expected = fusion.norm(full)[-1].relu()
        torch.testing.assert_close(fused, expected, rtol=0, atol=1e-12)


def test_no_dropout_anywhere(toy: MGNet, scenes: Tensor) -> None:
    trained, evaluated = toy.train()(scenes), toy.eval()(scenes)
    for name, value in evaluated.items():
        torch.testing.assert_close(trained[name], value, rtol=0, atol=0)


def test_an_empty_batch_gives_an_empty_result(toy: MGNet) -> None:
    result = toy(torch.zeros(0, 1, 37, 45, dtype=torch.float64))
    assert list(result["n_logit"].shape) == [3, 0, 10]
    assert list(result["n_aux_logit"].shape) == [2, 0, 10]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(1, 37, 45), ValueError, r"images must have shape \[B, 1, H, W\], got \[1, 37"),
        (torch.zeros(1, 3, 37, 45), ValueError, r"\[B, 1, H, W\], got \[1, 3, 37, 45\]"),
        (torch.zeros(1, 1, 37, 45, dtype=torch.int64), TypeError, "uint8 or floating point"),
    ],
)
def test_wrong_images_are_refused(
    toy: MGNet, images: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        toy(images)


@pytest.mark.parametrize("count", [0, -1, 2.0])
def test_a_wrong_number_of_glimpses_is_refused(toy: MGNet, scenes: Tensor, count: int) -> None:
    with pytest.raises(ValueError, match="num_glimpses must be an int of at least 1"):
        toy(scenes, num_glimpses=count)
