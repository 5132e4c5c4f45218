"""Accuracy on corrupted images: means, resuming, and sets that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgnet_fast.data.first_images import FirstImages
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.evaluation import evaluate
from mgnet_fast.evaluation.corruption import CorruptionAccuracy, evaluate_corruptions
from mgnet_fast.models import create_model


def test_means_by_hand() -> None:
    found = CorruptionAccuracy(
        {("fog", 1): (1, 2), ("fog", 2): (3, 4), ("snow", 1): (0, 8), ("rain", 1): (4, 4)},
        {("fog", 1): 4, ("fog", 2): 4, ("snow", 1): 8, ("rain", 1): 4},
    )
    assert found.corruptions == ("snow", "fog", "rain")  # those of the table first, in its order
    assert found.accuracy("fog") == 0.75
    assert found.accuracy("fog", glimpse=0, severity=1) == 0.25
    assert found.average() == pytest.approx((0.75 + 1 + 1) / 3)
    row = found.rows()[0]
    assert (row["corruption"], row["severity"], row["glimpses"], row["accuracy"]) == (
        "fog", 1, 1, 0.25,
    )  # fmt: skip
    assert row["low"] < 0.25 < row["high"]


def test_sets_are_evaluated_once(tmp_path: Path) -> None:
    """The sets need not be made here: any labelled images under these names will do."""
    model, scenes = load_model(), load_scenes(30)
    sets = {("fog", 1): FirstImages(scenes, 20), ("fog", 2): scenes}
    rows, told = tmp_path / "rows.jsonl", []
    first = evaluate_corruptions(
        model, sets, rows=rows, on_image=lambda part, done: told.append(done)
    )
    assert told[-1] == 50
    assert first.correct["fog", 1] == evaluate(model, sets["fog", 1]).correct
    assert first.counts == {("fog", 1): 20, ("fog", 2): 30}
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:-1]) + lines[-1][:10])  # cut in the last row
    assert evaluate_corruptions(model, sets, rows=rows) == first
    assert rows.read_text() == "".join(lines)


def test_what_does_not_fit_is_refused_before_anything_runs(tmp_path: Path) -> None:
    scenes = load_scenes(4)
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(ValueError, match="sets must hold at least one"):
        evaluate_corruptions(load_model(), {})
    with pytest.raises(ValueError, match="model must have in_chans = 1"):
        evaluate_corruptions(create_model("mgnet_resnet18"), {("fog", 1): scenes}, rows=rows)
    assert not rows.exists()
    evaluate_corruptions(load_model(), {("fog", 1): scenes}, rows=rows)
    fog = {("fog", 1): scenes}
    for model, sets in (
        (load_model(), {("fog", 2): scenes}),
        (load_model(), {("fog", 1): FirstImages(scenes, 3)}),
        (create_model("mgnet_toy"), fog),
    ):
        with pytest.raises(ValueError, match="belongs to another run"):
            evaluate_corruptions(model, sets, rows=rows)
