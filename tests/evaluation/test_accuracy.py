"""Accuracy per glimpse: counting, intervals, and what does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mgnet_fast.data import Digits, TranslatedMNIST
from mgnet_fast.evaluation import Accuracy, evaluate, wilson_interval
from mgnet_fast.models import MGNet, create_model


@pytest.fixture(scope="module")
def scenes() -> TranslatedMNIST:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (23, 28, 28), dtype=torch.uint8, generator=generator)
    return TranslatedMNIST(Digits(images, torch.arange(23) % 10), seed=1)


@pytest.fixture
def model() -> MGNet:
    torch.manual_seed(0)
    return create_model("mgnet_toy")


def test_counts_what_the_forward_says(model: MGNet, scenes: TranslatedMNIST) -> None:
    result = evaluate(model, scenes, batch_size=23)
    with torch.no_grad():
        output = model.eval()(scenes.scenes(torch.arange(23)))
    right = output["n_logit"].argmax(2) == scenes.labels
    assert result.correct == tuple(right.sum(1).tolist())
    assert result.count == 23
    assert result.accuracy == pytest.approx(right.float().mean(1).tolist())
    expected_scale = output["n_affparam"][:, :, 0].mean(1).tolist()
    assert result.mean_scale == pytest.approx(expected_scale, rel=1e-6)
    assert result.mean_scale[0] == 1.0
    scale, x, y = output["n_affparam"].unbind(2)
    near = ((x.abs() + scale >= 0.99) | (y.abs() + scale >= 0.99)).float().mean(1)
    assert result.at_the_border == pytest.approx(near.tolist())
    assert result.at_the_border[0] == 1.0


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_does_not_depend_on_the_batch_size(
    model: MGNet, scenes: TranslatedMNIST, batch_size: int
) -> None:
    whole, parts = evaluate(model, scenes), evaluate(model, scenes, batch_size=batch_size)
    assert parts.correct == whole.correct
    assert parts.mean_scale == pytest.approx(whole.mean_scale, rel=1e-6)


class Oracle(MGNet):
    """Right on every scene at the last glimpse, on the first label alone before."""

    def forward(self, images: Tensor, *, num_glimpses: int | None = None) -> dict[str, Tensor]:
        output = super().forward(images, num_glimpses=num_glimpses)
        logits = torch.zeros_like(output["n_logit"])
        logits[:-1, :, 0] = 1
        labels = ((images.flatten(1).long().sum(1)) % 10).long()
        logits[-1].scatter_(1, labels[:, None], 1.0)
        return {**output, "n_logit": logits}


def test_an_oracle_is_right(model: MGNet) -> None:
    images = torch.zeros(30, 28, 28, dtype=torch.uint8)
    images[:, 3, 3] = torch.arange(30) % 10
    scenes = TranslatedMNIST(Digits(images, torch.arange(30) % 10))
    result = evaluate(Oracle(model.config, "toy"), scenes, batch_size=8)
    assert result.correct == (3, 3, 30)


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_model_in_its_mode(
    model: MGNet, scenes: TranslatedMNIST, training: bool
) -> None:
    model.train(training)
    evaluate(model, scenes)
    assert model.training is training


def test_number_of_glimpses_can_be_chosen(model: MGNet, scenes: TranslatedMNIST) -> None:
    assert evaluate(model, scenes, num_glimpses=2).correct == evaluate(model, scenes).correct[:2]


def test_wilson_interval_against_published_values() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, method 3.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=1e-4)


def test_wilson_interval_at_the_ends_and_nested() -> None:
    assert wilson_interval(20, 20)[1] == pytest.approx(1.0)
    narrow, wide = wilson_interval(9950, 10_000, 0.5), wilson_interval(9950, 10_000, 0.99)
    assert wide[0] < narrow[0] < 0.995 < narrow[1] < wide[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 4), "got 5 of 4"),
        ((-1, 4), "got -1 of 4"),
        ((0, 0), "got 0 of 0"),
        ((1, 2, 1.0), "confidence must be in"),
    ],
)
def test_wilson_interval_out_of_range(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)  # type: ignore[arg-type]


def test_to_dict_is_plain() -> None:
    result = Accuracy((3, 4), 5, (1.0, 0.3))
    assert result.to_dict()["accuracy"] == [0.6, 0.8]
    assert result.to_dict()["interval"][1] == pytest.approx(list(wilson_interval(4, 5)))


def test_what_does_not_fit_is_refused(scenes: TranslatedMNIST) -> None:
    with pytest.raises(ValueError, match="model must have in_chans = 1 for these scenes, got 3"):
        evaluate(create_model("mgnet_toy", in_chans=3), scenes)
    with pytest.raises(ValueError, match=r"model must have num_classes = 10 .* got 4"):
        evaluate(create_model("mgnet_toy", num_classes=4), scenes)
    empty = TranslatedMNIST(Digits(torch.zeros(0, 28, 28, dtype=torch.uint8), torch.zeros(0)))
    with pytest.raises(ValueError, match="scenes must hold at least one scene, got 0"):
        evaluate(create_model("mgnet_toy"), empty)
