"""The published TNets: their weights by name, and their results."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from support.networks.published_tnet import GOLDEN, images, variables
from support.tolerances import PUBLISHED_TNET

from mgnet_fast.models import create_model

# Name of the golden file: network, its options, side of the images.
VARIANTS: dict[str, tuple[str, dict[str, Any], int]] = {
    "imagenet": ("tnet_bagnet77", {"num_classes": 10}, 224),
    "fmow448": ("tnet_efficientnet_b0_fmow448", {}, 448),
    "fmow896": ("tnet_efficientnet_b0_fmow896", {}, 896),
    "cub_b0": ("tnet_efficientnet_b0", {}, 448),
    "cub_b1": ("tnet_efficientnet_b1", {}, 448),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_results(variant: str) -> None:
    name, options, size = VARIANTS[variant]
    golden = np.load(GOLDEN / f"{variant}.npz")
    seed = int(golden["seed"])
    model = create_model(name, **options).eval()
    model.load_variables(variables(model.variable_shapes(), seed))
    with torch.no_grad():
        output = model(images(size, seed), locations=_locations(golden, model.config.grid))
    assert torch.equal(output["attended"], torch.from_numpy(golden["attended"]))
    # The published code of fmow896 loses the probabilities of the first level.
    probabilities = output["probabilities"].numpy()[:, -golden["probabilities"].shape[1] :]
    assert np.abs(probabilities - golden["probabilities"]).max() <= PUBLISHED_TNET["probabilities"]
    logits, wanted = output["n_logit"][-1].numpy(), golden["logits"]
    kind = "logits of cub_b1" if variant == "cub_b1" else "logits"
    assert np.abs(logits - wanted).max() <= PUBLISHED_TNET[kind] * np.abs(wanted).max()
    assert (logits.argmax(1) == wanted.argmax(1)).all()


def _locations(golden: Any, grid: int) -> tuple[int, ...]:
    """How many cells of each image or crop were looked at, level by level."""
    looks, first = [1], 0
    while first < golden["attended"].shape[1]:
        level = golden["attended"][0, first : first + looks[-1] * grid**2]
        first += len(level)
        looks.append(int(level.sum()))
    return tuple(after // before for before, after in pairwise(looks))


@pytest.mark.parametrize(
    ("name", "options", "count", "numbers"),
    [
        ("tnet_bagnet77", {"num_classes": 10}, 121, 21_352_080),
        ("tnet_efficientnet_b0_fmow448", {}, 328, 4_559_592),
        ("tnet_efficientnet_b0", {}, 334, 5_558_451),
        ("tnet_efficientnet_b1", {}, 462, 8_069_459),
    ],
)
def test_numbers_of_variables(name: str, options: Any, count: int, numbers: int) -> None:
    with torch.device("meta"):
        shapes = create_model(name, **options).variable_shapes()
    assert len(shapes) == count
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == numbers


def test_everything_that_does_not_fit_is_named_at_once() -> None:
    model = create_model("tnet_bagnet77", num_classes=10)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    values = variables(model.variable_shapes(), 1)
    del values["feature_posBurn/linear/bias"]
    values["feat_weighting/output_linear/bias"] = np.zeros(1, np.float32)
    values["baseline_var"] = np.array("half")
    name = "feature_extraction/part1/conv2d/kernel"
    values[name] = values[name].transpose(3, 2, 0, 1)
    with pytest.raises(ValueError, match="variables do not fit") as caught:
        model.load_variables(values)
    message = str(caught.value)
    assert "missing: feature_posBurn/linear/bias" in message
    assert "unexpected: feat_weighting/output_linear/bias" in message
    assert f"of another shape: {name} (want [3, 3, 3, 64], got [64, 3, 3, 3])" in message
    assert "not made of real numbers: baseline_var" in message
    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())


def test_variables_of_another_variant_are_refused() -> None:
    values = variables(create_model("tnet_efficientnet_b0").variable_shapes(), 1)
    with pytest.raises(ValueError, match=r"missing: .*part2_block2.* of another shape: .*se"):
        create_model("tnet_efficientnet_b1").load_variables(values)
    with pytest.raises(TypeError, match=r"for BagNet77 and EfficientNet backbones, got ToyGrid"):
        create_model("tnet_toy").load_variables(values)
