"""The engine with all glimpses against the published algorithm and against one large look."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

from bench.conftest import Versus
from bench.cpu.engine_cases import network, photos, slots_in_words
from mgnet_fast import Confidence, Engine, Never
from mgnet_fast.models.mgnet.published import published_forward

# Goals: how many times faster than the published algorithm in eager mode, by network and slots.
BARS: dict[tuple[str, int], float | None] = {
    ("mgnet_resnet18", 1): 1 / 0.36,
    ("mgnet_resnet18", 16): 1 / 0.78,
    ("mgnet_resnet50", 1): 1 / 0.40,
    ("mgnet_resnet50", 16): None,
}


def _logits(engine: Engine, images: Tensor) -> Tensor:
    return torch.stack([prediction.logits for prediction in engine.predict(images)])


@pytest.mark.parametrize(("name", "slots"), BARS)
def test_against_the_published_algorithm(versus: Versus, name: str, slots: int) -> None:
    model, images = network(name), photos(slots)
    start = time.perf_counter()
    engine = Engine(model, slots=slots, exit=Never(), runner="packed")
    print(f"\n{name}: prepared in {time.perf_counter() - start:.2f} s")

    def published() -> Tensor:
        with torch.no_grad():
            return published_forward(model, images)["n_logit"][-1]

    expected = published()
    difference = (_logits(engine, images) - expected).abs().max() / expected.abs().max()
    versus(
        lambda: engine.predict(images), published,
        deviation=float(difference), tolerance=1e-3,
        suite="engine", op="inference", case=f"{name}, T = 4, {slots_in_words(slots)}, 224 px",
        dtype="float32", peer="published algorithm, eager NCHW", target=BARS[name, slots],
    )  # fmt: skip


@pytest.mark.parametrize(("slots", "bar"), [(1, None), (16, 1 / 0.75)])
def test_against_one_large_look(versus: Versus, slots: int, bar: float | None) -> None:
    """Both in the engine; the large look has 1 / 0.74 of the multiply-adds."""
    images = photos(slots)
    ours = Engine(network("mgnet_resnet18"), slots=slots, exit=Never(), runner="packed")
    large = Engine(network("ffnet_resnet18"), slots=slots, exit=Never(), runner="packed")
    versus(
        lambda: ours.predict(images), lambda: large.predict(images),
        deviation=0.0, tolerance=0.0,  # two networks, so there is no parity
        suite="engine", op="inference",
        case=f"mgnet_resnet18, T = 4, {slots_in_words(slots)}, 224 px",
        dtype="float32", peer="ffnet_resnet18 in the engine", target=bar,
    )  # fmt: skip


def test_against_one_large_look_in_eager_mode(versus: Versus) -> None:
    """The feed-forward network in plain PyTorch."""
    images, large = photos(1), network("ffnet_resnet18")
    ours = Engine(network("mgnet_resnet18"), slots=1, exit=Never(), runner="packed")

    def eager() -> Tensor:
        with torch.no_grad():
            return large(images)["n_logit"][-1]

    versus(
        lambda: ours.predict(images), eager,
        deviation=0.0, tolerance=0.0,  # two networks, so there is no parity
        suite="engine", op="inference", case="mgnet_resnet18, T = 4, 1 slot, 224 px",
        dtype="float32", peer="ffnet_resnet18, eager NCHW", target=1 / 0.70,
    )  # fmt: skip


def test_two_of_four_glimpses_against_one_large_look(versus: Versus) -> None:
    """Every image leaves after two glimpses, like the mean of a confidence exit."""
    images = photos(1)
    early = Engine(
        network("mgnet_resnet18"), slots=1, runner="packed",
        exit=Confidence(0.0, min_glimpses=2, max_glimpses=2),
    )  # fmt: skip
    large = Engine(network("ffnet_resnet18"), slots=1, exit=Never(), runner="packed")
    assert early.predict(images)[0].glimpses == 2
    versus(
        lambda: early.predict(images), lambda: large.predict(images),
        deviation=0.0, tolerance=0.0,
        suite="engine", op="inference", case="mgnet_resnet18, 2 glimpses, 1 slot, 224 px",
        dtype="float32", peer="ffnet_resnet18 in the engine", target=1 / 0.60,
    )  # fmt: skip
