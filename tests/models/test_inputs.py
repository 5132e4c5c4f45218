"""Bytes, layouts, precisions, the feed-forward twin; compilers and export."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mgnet_fast.models import MGNet, create_model, published_forward
from mgnet_fast.models.mgnet.fusion import FusionMemory


def glimpses_seen(model: MGNet) -> list[Tensor]:
    """Collects what the backbone gets from now on."""
    seen: list[Tensor] = []
    model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    return seen


def normalised(images: Tensor, model: MGNet) -> Tensor:
    mean, std = (
        torch.tensor(v).double().view(-1, 1, 1) for v in (model.config.mean, model.config.std)
    )
    return (images.double() / 255 - mean) / std


@pytest.mark.parametrize("name", ["mgnet_toy", "ffnet_toy"])
def test_bytes_are_normalised_by_the_config(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name).double().eval()
    images = torch.randint(0, 256, (3, 1, 40, 52), dtype=torch.uint8)
    expected = published_forward(model, normalised(images, model))
    for result in (model(images), published_forward(model, images)):
        for key, value in expected.items():
            # uint8 sampling is done in float32 by contract, also for a float64 network.
            torch.testing.assert_close(result[key].double(), value, rtol=0, atol=2e-5)


def test_bytes_without_mean_and_std_are_divided_by_255() -> None:
    model = create_model("mgnet_toy", mean=None, std=None).eval()
    images = torch.randint(0, 256, (2, 1, 30, 30), dtype=torch.uint8)
    expected = model(images.float() / 255)
    torch.testing.assert_close(model(images)["n_logit"], expected["n_logit"], rtol=0, atol=1e-5)


def test_float_images_are_taken_as_they_are(toy: MGNet, scenes: Tensor) -> None:
    seen = glimpses_seen(toy)
    toy(scenes)
    plain = create_model("mgnet_toy", glimpse_size=(17, 19), mean=None, std=None).double()
    plain.load_state_dict(toy.state_dict())
    also_seen = glimpses_seen(plain)
    plain(scenes)
    assert len(seen) == len(also_seen) == 3
    for with_mean, without in zip(seen, also_seen, strict=True):
        torch.testing.assert_close(with_mean, without, rtol=0, atol=0)


def test_the_feed_forward_twin_sees_the_image_itself() -> None:
    model = create_model("ffnet_toy").double()
    images = torch.randn(2, 1, 31, 44, dtype=torch.float64)
    seen = glimpses_seen(model)
    result = model(images)
    assert len(seen) == 1
    assert torch.equal(seen[0], images)
    assert set(result) == {"n_logit", "n_affparam", "n_feature"}
    expected = published_forward(model, images)
    torch.testing.assert_close(result["n_logit"], expected["n_logit"], rtol=0, atol=1e-10)


def test_the_twin_passes_the_gradient_to_the_image() -> None:
    model = create_model("ffnet_toy").double()
    images = torch.randn(2, 1, 31, 44, dtype=torch.float64, requires_grad=True)
    model(images)["n_logit"].square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0


def test_images_of_any_layout_give_the_same(toy: MGNet, scenes: Tensor) -> None:
    expected = toy(scenes)["n_logit"]
    wide = torch.zeros(4, 2, 37, 90, dtype=torch.float64)
    strided = wide[:, :1, :, ::2]
    strided.copy_(scenes)
    for images in (strided, scenes.to(memory_format=torch.channels_last)):
        torch.testing.assert_close(toy(images)["n_logit"], expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ["mgnet_resnet18", "ffnet_resnet18"])
def test_glimpses_follow_the_layout_of_the_network(name: str) -> None:
    options = {"glimpse_size": 32} if name.startswith("mgnet") else {}
    model = create_model(name, num_classes=3, **options).double().eval()
    seen = glimpses_seen(model)
    images = torch.randn(2, 3, 40, 50, dtype=torch.float64)
    with torch.no_grad():
        expected = model(images)["n_logit"]
        assert all(glimpse.is_contiguous() for glimpse in seen)
        seen.clear()
        model.to(memory_format=torch.channels_last)
        for given in (images, images.to(memory_format=torch.channels_last)):
            result = model(given)["n_logit"]
            torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)
    assert seen
    assert all(g.is_contiguous(memory_format=torch.channels_last) for g in seen)
    assert not any(g.is_contiguous() for g in seen)


def test_a_half_precision_network_keeps_its_regions_in_float32() -> None:
    model = create_model("mgnet_toy").bfloat16().eval()
    result = model(torch.rand(2, 1, 60, 60))
    assert result["n_affparam"].dtype == torch.float32
    assert result["n_logit"].dtype == torch.bfloat16
    assert not torch.equal(result["n_affparam"], result["n_affparam"].bfloat16().float())


@pytest.mark.parametrize("is_training", [True, False])
def test_autocast_lowers_the_backbone_only(is_training: bool) -> None:
    torch.manual_seed(0)
    model = create_model("mgnet_toy").train(is_training)
    images = torch.randn(4, 1, 60, 60)
    inside: list[torch.dtype] = []
    model.backbone.conv2.register_forward_hook(lambda m, args, out: inside.append(out.dtype))
    expected = model(images)
    inside.clear()
    with torch.autocast("cpu", torch.bfloat16):
        result = model(images)
    assert inside == [torch.bfloat16] * 3
    assert {value.dtype for value in result.values()} == {torch.float32}
    assert not torch.equal(result["n_logit"], result["n_logit"].bfloat16().float())
    # One step: the same regions, features rounded to bfloat16 (8 bits).
    torch.testing.assert_close(
        result["n_feature"][0], expected["n_feature"][0], rtol=2**-6, atol=2**-6
    )
    if is_training:
        sum(value.square().mean() for value in result.values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_state_given_autocast_is_what_float32_gives_from_the_same_features() -> None:
    torch.manual_seed(0)
    model = create_model("mgnet_toy", num_glimpses=2).eval()
    images = torch.randn(4, 1, 60, 60)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        result = model(images)
    with torch.no_grad():
        memory = FusionMemory()
        fused = model.fuse(result["n_feature"][0], result["n_affparam"][0], memory)
        region = model.next_glimpse(images, fused)[1]
    torch.testing.assert_close(result["n_affparam"][1], region, rtol=0, atol=1e-6)


@pytest.mark.parametrize("is_training", [True, False])
def test_compiles_as_one_graph(toy: MGNet, scenes: Tensor, is_training: bool) -> None:
    toy.train(is_training).to(memory_format=torch.channels_last)
    torch._dynamo.reset()
    compiled: Any = torch.compile(toy, fullgraph=True, backend="aot_eager")
    expected = toy(scenes)
    for name, value in compiled(scenes).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-10)


def test_exports_with_a_dynamic_batch(toy: MGNet, scenes: Tensor) -> None:
    toy.eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(toy, (scenes,), dynamic_shapes={"images": {0: batch}}).module()
    images = torch.cat([scenes, scenes.flip(3)[:3]])
    expected = toy(images)
    for name, value in program(images).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-10)
