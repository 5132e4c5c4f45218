"""Whole networks at inference, against the published algorithm in eager mode."""

from __future__ import annotations

import pytest
import torch

from bench.conftest import Versus
from mgnet_fast import create_model
from mgnet_fast.models import published_forward

CASES = (
    ("mgnet_toy", (1, 1, 112, 112), {}),
    ("mgnet_toy", (256, 1, 112, 112), {}),
    ("mgnet_resnet18", (1, 3, 224, 224), {"num_classes": 100}),
    ("mgnet_resnet18", (16, 3, 224, 224), {"num_classes": 100}),
    ("mgnet_resnet50", (1, 3, 224, 224), {"num_classes": 100}),
)
# The published algorithm computes its grids in float32, with errors of 6e-5 at 224 pixels, and
# each region depends on the features sampled before.
TOLERANCE = 1e-2


@pytest.mark.parametrize(("name", "shape", "options"), CASES, ids=str)
@torch.inference_mode()
def test_network(
    versus: Versus, name: str, shape: tuple[int, ...], options: dict[str, int]
) -> None:
    torch.manual_seed(0)
    model = create_model(name, **options).eval()
    plain = create_model(name, **options).eval()
    plain.load_state_dict(model.state_dict())
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(shape)
    ours, theirs = model(images)["n_logit"], published_forward(plain, images)["n_logit"]
    case = f"{name}, T = {model.config.num_glimpses}, batch {shape[0]}, {shape[2]} px"
    versus(
        lambda: model(images),
        lambda: published_forward(plain, images),
        deviation=float((ours - theirs).abs().max() / theirs.abs().max()),
        tolerance=TOLERANCE,
        suite="network", op="inference", case=case, dtype="float32",
        peer="published algorithm, eager NCHW",
    )  # fmt: skip
