"""A network with ``antialias=True``: everywhere that it looks, it looks the same way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mgnet_fast import glimpse
from mgnet_fast.engine import Engine, Never
from mgnet_fast.models import MGNet, MGNetConfig, create_model, published_forward
from mgnet_fast.models.files.checkpoints import load_checkpoint, save_checkpoint
from mgnet_fast.pictures.looks import look_at


@pytest.fixture(scope="module")
def model() -> MGNet:
    torch.manual_seed(0)
    return create_model("mgnet_toy", pretrained=True, antialias=True).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (6, 1, 112, 112), generator=generator, dtype=torch.uint8)


def test_first_glimpse_is_an_average(model: MGNet, images: Tensor) -> None:
    first, region = model.first_glimpse(images)
    size = model.glimpse_shape(images)
    config = model.config
    wanted = glimpse(images, region, size, mean=config.mean, std=config.std, antialias=True)
    assert torch.equal(first, wanted)
    assert not torch.equal(first, glimpse(images, region, size, mean=config.mean, std=config.std))


def test_it_is_off_by_default_and_stored(model: MGNet, images: Tensor, tmp_path: Path) -> None:
    assert MGNetConfig().antialias is False
    with pytest.raises(TypeError, match="antialias must be a bool, got 1"):
        MGNetConfig(antialias=1)  # type: ignore[arg-type]
    save_checkpoint(model, tmp_path / "model.safetensors")
    again = load_checkpoint(tmp_path / "model.safetensors").eval()
    assert again.config.antialias
    with torch.inference_mode():
        assert torch.equal(again(images)["n_logit"], model(images)["n_logit"])


@pytest.mark.parametrize("runner", ["eager", "channels_last", "packed"])
def test_engine_looks_as_the_network_does(model: MGNet, images: Tensor, runner: str) -> None:
    with torch.inference_mode():
        wanted = model(images)
    results = Engine(model, slots=4, exit=Never(), runner=runner).predict(images)
    for n, result in enumerate(results):
        torch.testing.assert_close(result.regions, wanted["n_affparam"][:, n], atol=1e-4, rtol=0)
        torch.testing.assert_close(result.logits, wanted["n_logit"][-1, n], atol=1e-3, rtol=1e-3)


def test_engine_takes_several_sizes(model: MGNet, images: Tensor) -> None:
    several = [images[0], images[1, :, :70, :90], images[2]]
    results = Engine(model, slots=4, exit=Never(), runner="eager").predict(several)
    for image, result in zip(several, results, strict=True):
        with torch.inference_mode():
            alone = model(image[None])["n_logit"][-1, 0]
        torch.testing.assert_close(result.logits, alone, atol=1e-3, rtol=1e-3)


def test_pictures_show_what_it_saw(model: MGNet, images: Tensor) -> None:
    [look] = look_at(model, [("one", images[0], 3)])
    size = model.glimpse_shape(images)
    seen = glimpse(images[:1].expand(3, -1, -1, -1), look.regions, size, antialias=True)
    assert torch.equal(look.glimpses, (seen * 255).round().to(torch.uint8))


def test_the_published_algorithm_refuses_it(model: MGNet, images: Tensor) -> None:
    with pytest.raises(ValueError, match="must not antialias"):
        published_forward(model, images)


def test_gradients_reach_the_localization(model: MGNet, images: Tensor) -> None:
    network = create_model("mgnet_toy", antialias=True)
    network(images)["n_logit"][-1].sum().backward()
    gradient = network.loc_network.fc.weight.grad
    assert gradient is not None
    assert float(gradient.abs().max()) > 0
