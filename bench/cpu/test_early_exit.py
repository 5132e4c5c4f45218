"""The time saved by an early exit, compared with the glimpses saved."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.conftest import Versus
from bench.cpu.engine_cases import leaving_by_halves
from mgnet_fast import Engine, Never, create_model
from mgnet_fast.assets import digit_paths
from mgnet_fast.data import TEST_SEED, TranslatedMNIST, read_digits
from mgnet_fast.models import MGNet

SHARE_OF_IDEAL = 0.9


def _resnet() -> tuple[MGNet, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model("mgnet_resnet18", num_classes=100).eval()
        return model, torch.randn(64, 3, 224, 224)


def _toy() -> tuple[MGNet, Tensor]:
    scenes = TranslatedMNIST(read_digits(*digit_paths()), seed=TEST_SEED)
    return create_model("mgnet_toy", pretrained=True).eval(), scenes.scenes(torch.arange(500))


@pytest.mark.parametrize(("network", "slots"), [("mgnet_resnet18", 16), ("mgnet_toy", 64)])
def test_half_of_the_images_leave_after_each_glimpse(
    versus: Versus, network: str, slots: int
) -> None:
    model, images = _resnet() if network == "mgnet_resnet18" else _toy()
    never = Engine(model, slots=slots, exit=Never(), runner="packed")
    early = never.with_exit(leaving_by_halves(never, images))
    mean = sum(result.glimpses for result in early.predict(images)) / len(images)
    ideal = model.config.num_glimpses / mean
    versus(
        lambda: early.predict(images), lambda: never.predict(images),
        deviation=0.0, tolerance=0.0,  # the answers differ by design
        suite="engine", op="early exit",
        case=f"{network}, {len(images)} images, {slots} slots, {mean:.2f} glimpses on average",
        dtype="float32", peer=f"no early exit; at most {ideal:.2f} times slower",
        target=SHARE_OF_IDEAL * ideal,
    )  # fmt: skip
