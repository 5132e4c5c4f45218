"""Budgets: the points are what the engine did, the costs are those of what it took."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mgnet_fast.assets import digit_paths, toy_checkpoint_path
from mgnet_fast.data import TEST_SEED, TranslatedMNIST, read_digits
from mgnet_fast.engine import Confidence, Engine
from mgnet_fast.evaluation.budgets import count_runs, measure_budgets, write_budgets
from mgnet_fast.models import MGNet, create_model
from mgnet_fast.models.files.checkpoints import load_checkpoint

COST = (3471051, 6942102, 10413153)  # T = 1, 2, 3 in the convention "cached"
PAPER_COST = (3471051, 7010746, 10619085)


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    scenes = TranslatedMNIST(read_digits(*digit_paths()), seed=TEST_SEED)
    return scenes.scenes(torch.arange(20)), scenes.labels[:20]


@pytest.fixture(scope="module")
def model() -> MGNet:
    return load_checkpoint(toy_checkpoint_path())


def test_points_are_what_the_engine_does(model: MGNet, batch: tuple[Tensor, Tensor]) -> None:
    images, labels = batch
    told: list[int] = []
    points = measure_budgets(
        [("toy", model)], images, labels, thresholds=[0.9], rounds=1, slots=4, on_run=told.append
    )
    assert told == list(range(1, count_runs([model], [0.9], 1) + 1))
    assert [(p.kind, p.setting) for p in points] == [
        ("glimpses", 1),
        ("glimpses", 2),
        ("glimpses", 3),
        ("exit", 0.9),
    ]
    with torch.no_grad():
        logits = model.eval()(images)["n_logit"]
    right = (logits.argmax(2) == labels).sum(1).tolist()
    assert [p.correct for p in points[:3]] == right
    assert [p.multiply_adds for p in points[:3]] == list(COST)
    assert [p.paper_multiply_adds for p in points[:3]] == list(PAPER_COST)
    left = Engine(model, slots=4, exit=Confidence(0.9)).predict(images)
    taken = [prediction.glimpses for prediction in left]
    assert 1 < sum(taken) / 20 < 3
    assert points[3].mean_glimpses == pytest.approx(sum(taken) / 20)
    assert points[3].multiply_adds == pytest.approx(sum(COST[t - 1] for t in taken) / 20)
    for point in points:
        assert point.count == 20
        assert point.low <= point.accuracy <= point.high
        assert point.milliseconds > 0
        assert point.slots == 4


def test_feed_forward_twin_has_one_point(batch: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    points = measure_budgets([("ff", create_model("ffnet_toy"))], *batch, rounds=1)
    assert [(p.kind, p.mean_glimpses) for p in points] == [("glimpses", 1.0)]
    path = write_budgets(points, tmp_path / "new" / "points.csv")
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["network"] == "ff"
    assert float(row["multiply_adds"]) == points[0].multiply_adds
    assert float(row["milliseconds"]) == points[0].milliseconds


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"thresholds": [1.5]}, r"thresholds must lie in \(0, 1\], got 1.5"),
    ],
)
def test_wrong_numbers(
    model: MGNet, batch: tuple[Tensor, Tensor], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_budgets([("toy", model)], *batch, **options)  # type: ignore[arg-type]


def test_what_does_not_fit(model: MGNet, batch: tuple[Tensor, Tensor]) -> None:
    images, labels = batch
    with pytest.raises(ValueError, match="as many labels as images"):
        measure_budgets([("toy", model)], images, labels[:3])
    with pytest.raises(ValueError, match=r"colour must have in_chans = 1 .* got 3"):
        measure_budgets([("colour", create_model("mgnet_toy", in_chans=3))], images, labels)
