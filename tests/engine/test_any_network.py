"""The engine with a network that it knows nothing about but the protocol."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.networks.four_quarters import FourQuarters, QuartersConfig
from torch import Tensor

from mgnet_fast import Confidence, Engine, Never, create_model

VARIANTS = {
    "four at once": QuartersConfig(),
    "one a step": QuartersConfig(one_at_a_time=True),
    "four numbers": QuartersConfig(with_four_numbers=True),
}


@pytest.fixture(params=VARIANTS)
def network(request: pytest.FixtureRequest) -> FourQuarters:
    torch.manual_seed(3)
    return FourQuarters(VARIANTS[request.param]).eval()


def images(count: int = 11, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 1, 40, 37), dtype=torch.uint8, generator=generator)


def check(predictions: list[Any], network: FourQuarters, batch: Tensor) -> None:
    """Each prediction is the network's own after as many steps."""
    with torch.no_grad():
        output = network(batch)
    looks = network.looks
    for n, found in enumerate(predictions):
        wanted = output["n_logit"][found.glimpses - 1, n]
        torch.testing.assert_close(found.logits, wanted, rtol=1e-4, atol=1e-5)
        regions = output["n_affparam"][: sum(looks[: found.glimpses]), n]
        torch.testing.assert_close(found.regions, regions, rtol=1e-6, atol=1e-6)
        assert found.label == int(wanted.argmax())


@pytest.mark.parametrize("runner", ["eager", "channels_last", "auto"])
@pytest.mark.parametrize("slots", [1, 3, 16])
def test_results_are_the_networks_own(network: FourQuarters, runner: str, slots: int) -> None:
    batch = images()
    engine = Engine(network, runner=runner, slots=slots, exit=Never())
    found = engine.predict(batch)
    assert [each.glimpses for each in found] == [len(network.looks)] * len(batch)
    check(found, network, batch)
    with torch.no_grad():
        wanted = network(batch)["n_logit"]
    torch.testing.assert_close(engine.logits_after_each(batch), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("slots", [1, 4])
def test_images_leave_early_in_any_company(network: FourQuarters, slots: int) -> None:
    batch = images(23)
    with torch.no_grad():
        sure = network(batch)["n_logit"].softmax(-1).amax(-1)[0]
    between = float(sure.sort().values[10:12].mean())  # so that rounding does not decide
    engine = Engine(network, slots=slots, exit=Confidence(between))
    found = list(engine.stream(iter(batch), read_ahead=2))
    assert {each.glimpses for each in found} >= {1, len(network.looks)}
    check(found, network, batch)


def test_images_of_several_sizes(network: FourQuarters) -> None:
    sizes = [(30, 50), (41, 20), (30, 50), (64, 64)]
    generator = torch.Generator().manual_seed(1)
    each = [
        torch.randint(0, 256, (1, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]
    found = Engine(network, slots=3, exit=Never()).predict(each)
    for image, prediction in zip(each, found, strict=True):
        check([prediction], network, image.unsqueeze(0))


def test_a_network_may_keep_its_images() -> None:
    class Patient(FourQuarters):
        def may_stop(self, state: tuple[Tensor, ...]) -> Tensor:
            return state[1] >= 3

    torch.manual_seed(0)
    network = Patient(QuartersConfig(one_at_a_time=True)).eval()
    found = Engine(network, slots=4, exit=Confidence(0.0)).predict(images(9))
    assert [each.glimpses for each in found] == [3] * 9
    check(found, network, images(9))


def test_the_deviation_is_measured(network: FourQuarters) -> None:
    engine = Engine(network, runner="eager", precision="bf16", calibration=images(6))
    assert engine.deviation is not None
    assert 0 < engine.deviation.logit_mean < 0.05
    assert engine.deviation.region_max == 0


@pytest.mark.parametrize("runner", ["compiled", "cudagraph", "onnxruntime"])
def test_runners_of_one_family_refuse(runner: str, tmp_path: Any) -> None:
    artefact = tmp_path / "step.onnx" if runner == "onnxruntime" else None
    with pytest.raises(
        ValueError, match=r"MGNet's fused step, which FourQuarters does not have \(eager"
    ):
        Engine(FourQuarters(), runner=runner, artefact=artefact)


def test_packed_convolutions_serve_any_network(network: FourQuarters) -> None:
    toy = create_model("mgnet_toy").backbone
    network.backbone, network.width = toy, toy.num_features
    network.config = replace(network.config, glimpse_size=16)
    network.head = torch.nn.Linear(toy.num_features, 10)
    batch = images()
    check(Engine(network, runner="packed", slots=3, exit=Never()).predict(batch), network, batch)


def test_other_models_are_refused() -> None:
    with pytest.raises(TypeError, match="model must be a GlimpseNetwork, got Linear"):
        Engine(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
