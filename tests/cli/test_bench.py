"""``mgnet-fast bench engine``: what it measures, not how fast that is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch

from mgnet_fast import engine_speed
from mgnet_fast.demo import Comparison, load_model, load_scenes
from mgnet_fast.engine_speed import THRESHOLDS, compare_engine, measure_exits


def test_engine_and_published_algorithm_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every case, before anything is timed."""
    asked = []

    def only_compare(name, published, package, seconds) -> Comparison:
        asked.append((name, seconds))
        with torch.inference_mode():
            wanted, got = published(), package()
        return Comparison(name, float((wanted - got).abs().max() / wanted.abs().max()))

    monkeypatch.setattr(engine_speed, "compare", only_compare)
    rows = list(compare_engine(load_model(), load_scenes(20), 8, 4.0))
    assert all(row.agrees for row in rows)
    assert asked == [
        ("toy, 1 slot", 1.0),
        ("toy, 8 slots", 1.0),
        ("ResNet-18, 1 slot", 1.0),
        ("ResNet-18, 16 slots", 1.0),
    ]


def test_exits_are_measured_against_never() -> None:
    rows = measure_exits(load_model(), load_scenes(40), 8, 0.0)
    assert [row.threshold for row in rows] == [None, *THRESHOLDS]
    glimpses = [row.mean_glimpses for row in rows[1:]]
    assert glimpses == sorted(glimpses)
    assert rows[0].mean_glimpses == 3
    assert rows[0].share_of_ideal == 1
    assert all(0 < row.accuracy <= 1 and row.images_per_second > 0 for row in rows)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons are made up; the streams with exit rules run."""

    def made_up(*_: object) -> Iterator[Comparison]:
        yield Comparison("toy, 8 slots", 1e-5, 2.0, 1.0, 2.0, 1.9, 2.1, 5)

    monkeypatch.setattr(engine_speed, "compare_engine", made_up)


def test_tables(command, quick: None) -> None:
    result = command("bench", "engine", "--images", 20, "--slots", 8, "--budget", 0)
    assert result.code == 0
    assert "2.0x" in result.out
    assert "early exit, toy network, 8 slots" in result.out
    assert "never" in result.out


def test_json(command, quick: None) -> None:
    result = command("bench", "engine", "--images", 20, "--slots", 8, "--budget", 0, "--json")
    found = json.loads(result.out)
    assert found["cases"][0]["ratio"] == 2.0
    assert len(found["exits"]) == 1 + len(THRESHOLDS)


def test_disagreement_is_an_error(command, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Comparison("toy, 8 slots", 1.0)
    monkeypatch.setattr(engine_speed, "compare_engine", lambda *_: iter([wrong]))
    result = command("bench", "engine", "--images", 5, "--slots", 2, "--budget", 0)
    assert result.code == 1
    assert "they do not in: toy, 8 slots" in result.err


def test_no_subcommand_shows_help(command) -> None:
    result = command("bench")
    assert result.code == 2
    assert "Usage: mgnet-fast bench" in result.out
