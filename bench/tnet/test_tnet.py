"""TNet against the same network written by hand, and against one look at full resolution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.conftest import Versus
from bench.cpu.engine_cases import slots_in_words
from bench.tnet.by_hand import eager_tnet
from mgnet_fast import Engine, Never, TNet, create_model
from mgnet_fast.evaluation.live_bytes import peak_bytes
from mgnet_fast.models import GlimpseNetwork

NAME, SIDE = "tnet_efficientnet_b0_fmow896", 896
TOLERANCE = 1e-4  # of the largest logit


def _network(name: str) -> Any:
    """Random weights, with a second pass over batch norm so that activations keep their size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: GlimpseNetwork = create_model(name, num_classes=62)
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.momentum = None
            model(torch.randn(4, 3, 224, 224))
    return model.eval()


def _bytes(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    small = torch.rand(count, 3, 56, 56, generator=generator)
    large = torch.nn.functional.interpolate(small, (SIDE, SIDE), mode="bicubic")
    return (large.clamp(0, 1) * 255).to(torch.uint8)


def _logits(engine: Engine, images: Tensor) -> Tensor:
    return torch.stack([prediction.logits for prediction in engine.predict(images)])


@pytest.mark.parametrize("runner", ["auto", "eager"])
@pytest.mark.parametrize("slots", [1, 8])
def test_against_the_network_written_by_hand(versus: Versus, slots: int, runner: str) -> None:
    """2 then 1 locations of images of bytes. Memory is counted where no library hides its own."""
    model, images = _network(NAME), _bytes(slots)
    assert isinstance(model, TNet)
    engine = Engine(model, slots=slots, exit=Never(), runner=runner)

    def by_hand() -> Tensor:
        with torch.no_grad():
            return eager_tnet(model, images)

    expected = by_hand()
    difference = (_logits(engine, images) - expected).abs().max() / expected.abs().max()
    peaks = {}
    if runner == "eager":
        peaks["ours_peak_bytes"] = peak_bytes(lambda: engine.predict(images))
        peaks["peer_peak_bytes"] = peak_bytes(by_hand)
    versus(
        lambda: engine.predict(images), by_hand,
        deviation=float(difference), tolerance=TOLERANCE,
        suite="engine", op="tnet", case=f"{NAME}, {engine.runner}, {slots_in_words(slots)}, bytes",
        dtype="float32", peer="pad, unfold, gather, resize, eager",
        target=3 if runner == "auto" else None, **peaks,
    )  # fmt: skip


@pytest.mark.parametrize("slots", [1, 8])
@pytest.mark.parametrize("runner", ["eager", "auto"])
def test_against_one_look_at_full_resolution(versus: Versus, slots: int, runner: str) -> None:
    """The same backbone on the whole image, by the runner that is fastest for it."""
    images = _bytes(slots)
    ours = Engine(_network(NAME), slots=slots, exit=Never(), runner=runner)
    large = Engine(_network("ffnet_efficientnet_b0"), slots=slots, exit=Never(), runner=runner)
    versus(
        lambda: ours.predict(images), lambda: large.predict(images),
        deviation=0.0, tolerance=0.0,  # two networks, so there is no parity
        suite="engine", op="tnet", case=f"{NAME}, {ours.runner}, {slots_in_words(slots)}, bytes",
        dtype="float32", target=4,
        peer=f"ffnet_efficientnet_b0 at {SIDE} px, {large.runner}",
    )  # fmt: skip
