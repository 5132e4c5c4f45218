"""Evaluation, attacks, pictures, costs and training of a network that is no MGNet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.networks.four_quarters import FourQuarters, QuartersConfig

from mgnet_fast.assets import digit_paths
from mgnet_fast.data import TEST_SEED, TranslatedMNIST, read_digits
from mgnet_fast.evaluation import (
    AttackSettings,
    evaluate,
    evaluate_attack,
    fgsm,
    fit_temperature,
    pgd,
)
from mgnet_fast.evaluation.budgets import count_runs
from mgnet_fast.evaluation.exits.thresholds import mean_cost, one_bar, step_bars
from mgnet_fast.evaluation.row_file import fingerprint
from mgnet_fast.models import count_multiply_adds, create_model
from mgnet_fast.models.network import evaluation_mode
from mgnet_fast.models.regions import is_at_the_border, region_scale
from mgnet_fast.pictures import draw_glimpses, look_at, write_report
from mgnet_fast.pictures.looks import NamedImage
from mgnet_fast.training import Recipe, Trainer

VARIANTS = [
    QuartersConfig(),
    QuartersConfig(one_at_a_time=True),
    QuartersConfig(with_four_numbers=True),
]


@pytest.fixture(scope="module")
def scenes() -> TranslatedMNIST:
    digits = read_digits(*digit_paths())
    return TranslatedMNIST(type(digits)(digits.images[:40], digits.labels[:40]), seed=TEST_SEED)


@pytest.fixture(params=VARIANTS, ids=["four at once", "in turn", "four numbers"])
def model(request: pytest.FixtureRequest) -> FourQuarters:
    torch.manual_seed(0)
    return FourQuarters(request.param)


def batch_of(scenes: TranslatedMNIST) -> tuple[torch.Tensor, torch.Tensor]:
    return scenes.scenes(torch.arange(6)), scenes.labels[:6]


def test_accuracy_and_regions_by_step(model: FourQuarters, scenes: TranslatedMNIST) -> None:
    model.train()
    model.backbone.eval()
    found = evaluate(model, scenes, batch_size=16)
    assert model.training
    assert not model.backbone.training
    images = scenes.scenes(torch.arange(len(scenes)))
    with evaluation_mode(model):
        right = (model(images)["n_logit"].argmax(2) == scenes.labels).sum(1)
    assert list(found.correct) == right.tolist()
    assert found.mean_scale == (1.0, *[0.5] * (len(model.looks) - 1))
    assert found.at_the_border == (1.0,) * len(model.looks)
    assert evaluate(model, scenes, num_glimpses=1).correct == found.correct[:1]


def test_attacks_in_the_honest_mode(model: FourQuarters, scenes: TranslatedMNIST) -> None:
    images, labels = batch_of(scenes)
    clean = model.eval()(images)["n_logit"][-1]
    for attacked in (fgsm(model, images, labels), pgd(model, images, labels)):
        before, after = (
            torch.nn.functional.cross_entropy(logits, labels)
            for logits in (clean, attacked.n_logit[-1])
        )
        assert after > before
    settings = AttackSettings.honest(steps=2)
    robustness = evaluate_attack(model, scenes, settings, count=6)
    assert len(robustness.clean) == len(model.looks)


def test_a_mode_that_scales_a_localization_gradient_says_what_is_missing(
    scenes: TranslatedMNIST,
) -> None:
    images, labels = batch_of(scenes)
    pgd(FourQuarters(), images, labels, AttackSettings.paper(steps=1))
    with pytest.raises(ValueError, match="the paper mode, for FourQuarters, which has no"):
        pgd(FourQuarters(), images, labels, AttackSettings.worst(steps=1))


def test_pictures(model: FourQuarters, scenes: TranslatedMNIST, tmp_path: Path) -> None:
    images, labels = batch_of(scenes)
    named = [
        NamedImage(str(i), image, int(label))
        for i, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    looks = list(look_at(model, named))
    steps = len(model.looks)
    assert all(list(look.glimpses.shape) == [5, 1, 14, 14] for look in looks)
    assert all(len(look.predictions) == steps for look in looks)
    assert looks[0].scale_of_step == (1.0, *[0.5] * (steps - 1))
    assert looks[0].step_of_look == ((0, 1, 1, 1, 1) if steps == 2 else (0, 1, 2, 3, 4))
    page = write_report(looks, tmp_path / "a.html", title="quarters").read_text()
    assert page.count("<img alt='glimpse 5'") == len(looks)
    assert page.count("<rect") == 4 * len(looks)
    path = draw_glimpses(
        images,
        torch.stack([look.regions for look in looks], 1),
        torch.stack([look.glimpses for look in looks], 1),
        torch.tensor([look.predictions for look in looks]).T,
        labels,
        tmp_path / "a.png",
        confidences=torch.tensor([look.confidences for look in looks]).T,
        looks=model.looks,
    )
    assert path.stat().st_size > 0


def test_multiply_adds_are_counted_from_the_operators(model: FourQuarters) -> None:
    convolution, head = 8 * 25 * 25, 80
    steps = len(model.looks)
    for convention in ("paper", "cached"):
        found = count_multiply_adds(model, 112, convention)  # type: ignore[arg-type]
        assert found == 5 * convolution + steps * head
    first = count_multiply_adds(model, 112, num_glimpses=1)
    assert first == convolution + head
    pooled, sampled = 8 * 25, 4 * 14 * 14
    table3 = count_multiply_adds(model, 112, "table3")
    assert table3 == 5 * (convolution + pooled + sampled) + steps * head
    with pytest.raises(ValueError, match=f"num_glimpses must be at most {steps}, got 9"):
        count_multiply_adds(model, 112, num_glimpses=9)


def test_thresholds_and_budgets(model: FourQuarters, scenes: TranslatedMNIST) -> None:
    images, labels = scenes.scenes(torch.arange(40)), scenes.labels
    steps = len(model.looks)
    costs = [count_multiply_adds(model, 112, num_glimpses=t + 1) for t in range(steps)]
    assert costs == sorted(set(costs))
    with torch.no_grad():
        logits = model.eval()(images)["n_logit"]
    assert 0.05 <= fit_temperature(logits[-1], labels) <= 20
    score = logits.softmax(2).amax(2).numpy()
    budget = (costs[0] + costs[-1]) / 2
    bars = step_bars(one_bar(score, costs, budget), steps)
    assert costs[0] < mean_cost(score, bars, costs) <= budget
    # Without and with a warm-up, each number of steps and one exit.
    assert count_runs([model], [0.9], rounds=1) == 2 * (steps + 1)


@pytest.mark.parametrize("name", ["mgnet_toy", "ffnet_toy"])
def test_what_the_methods_of_mgnet_run_is_what_cached_counts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = create_model(name)
    counted = count_multiply_adds(model, 112, "cached")
    monkeypatch.setattr(type(model), "published_multiply_adds", lambda *args: None)
    assert count_multiply_adds(model, 112, "cached") == counted


def test_training(model: FourQuarters, scenes: TranslatedMNIST, tmp_path: Path) -> None:
    recipe = Recipe(
        epochs=2,
        batch_size=20,
        gradient_scale_warmup=0.5,
        adaptive_gradient_share=0.1,
        average_decay=0.5,
    )
    before = [parameter.detach().clone() for parameter in model.parameters()]
    trainer = Trainer(model, scenes, scenes, recipe)
    assert not trainer.factor.is_moving

    class Quiet:
        def step(self, *args: Any) -> None: ...
        def epoch(self, *args: Any) -> None: ...

    reports = list(trainer.fit(tmp_path, None, Quiet(), {}))  # type: ignore[arg-type]
    assert [report.epoch for report in reports] == [1, 2]
    row = json.loads(json.dumps(reports[-1].to_row()))
    assert row["loss"] == row["global"] > 0
    assert row["glimpse"] == row["size"] == 0
    assert "gradient_ratio" not in row
    assert not any(map(torch.equal, before, model.parameters()))


def test_a_state_that_is_none_of_a_trainer_is_refused(scenes: TranslatedMNIST) -> None:
    trainer = Trainer(FourQuarters(), scenes, scenes, Recipe(epochs=1, batch_size=20))
    other: Any = ["model"]
    with pytest.raises(TypeError, match="state must be a mapping, got list"):
        trainer.load_state(other)
    with pytest.raises(ValueError, match=r"state must be .*, got none of \['average', "):
        trainer.load_state({"model": trainer.model.state_dict()})
    trainer.load_state(trainer.state())


def test_the_fingerprint_tells_networks_apart() -> None:
    torch.manual_seed(0)
    first = FourQuarters()
    other = FourQuarters(QuartersConfig(one_at_a_time=True))
    other.load_state_dict(first.state_dict())
    assert fingerprint(first) == fingerprint(first)
    assert fingerprint(first) != fingerprint(other)


def test_regions_of_four_numbers() -> None:
    three = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0.1], [0.5, 0.2, -0.4], [0.3, -0.69, 0]])
    four = torch.cat([three[:, :1], three], dim=1)
    assert is_at_the_border(three).tolist() == [True, True, False, True]
    assert torch.equal(is_at_the_border(four), is_at_the_border(three))
    torch.testing.assert_close(region_scale(four), region_scale(three))
    wide = torch.tensor([[0.9, 0.4, 0.0, 0.5], [0.4, 0.9, 0.5, 0.0], [0.4, 0.9, 0.0, 0.5]])
    assert is_at_the_border(wide).tolist() == [False, False, True]
    torch.testing.assert_close(region_scale(wide), torch.full((3,), 0.6))


def test_what_is_no_network_is_refused(scenes: TranslatedMNIST, tmp_path: Path) -> None:
    images, labels = batch_of(scenes)
    other: Any = torch.nn.Linear(2, 2)
    for call in (
        lambda: evaluate(other, scenes),
        lambda: pgd(other, images, labels),
        lambda: fgsm(other, images, labels),
        lambda: next(look_at(other, [NamedImage("a", images[0])])),
        lambda: count_multiply_adds(other, 112),
        lambda: evaluate_attack(other, scenes, AttackSettings()),
        lambda: Trainer(other, scenes, scenes, Recipe(epochs=1)),
    ):
        with pytest.raises(TypeError, match="model must be a GlimpseNetwork, got Linear"):
            call()


def test_other_arguments_of_the_wrong_type_are_named(
    scenes: TranslatedMNIST, tmp_path: Path
) -> None:
    images, labels = batch_of(scenes)
    model: Any = FourQuarters()
    numbers: Any = images.numpy()
    cases: list[tuple[Any, str]] = [
        (lambda: evaluate(model, numbers), "scenes must be labelled images .*, got ndarray"),
        (lambda: pgd(model, numbers, labels), "images must be a Tensor .*, got ndarray"),
        (lambda: pgd(model, images, labels.tolist()), "labels must be a Tensor .*, got list"),
        (lambda: fgsm(model, images, labels, 0.1), "settings must be AttackSettings, got float"),  # type: ignore[arg-type]
        (lambda: next(look_at(model, [NamedImage("a", numbers[0])])), "pixels of image 'a' must"),
        (lambda: count_multiply_adds(model, 1.5), "image_size must be an int or"),  # type: ignore[arg-type]
        (lambda: write_report([3], tmp_path / "a", title=""), "objects of class Look, got int"),  # type: ignore[list-item]
        (
            lambda: draw_glimpses("cat.png", [], [], [], None, tmp_path / "a.png"),
            "images must be an array of numbers, got str",
        ),
    ]
    for call, message in cases:
        with pytest.raises(TypeError, match=message):
            call()
