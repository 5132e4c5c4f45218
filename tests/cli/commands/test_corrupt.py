"""``mgnet-fast corrupt``, on prepared folders, which need no library of corruptions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgnet_fast.demo import load_scenes


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """fog/1, fog/2 and frost/1, with a scene of each digit."""
    scenes = load_scenes(100)
    for name, severity in (("fog", 1), ("fog", 2), ("frost", 1)):
        for digit in range(10):
            index = int(np.flatnonzero(scenes.labels.numpy() == digit)[0])
            folder = tmp_path / "tree" / name / str(severity) / str(digit)
            folder.mkdir(parents=True)
            pixels = scenes.scenes(np.array([index]))[0, 0].numpy()
            Image.fromarray(pixels).save(folder / "scene.png")
    return tmp_path / "tree"


def test_a_prepared_tree(command, prepared: Path, tmp_path: Path) -> None:
    words = ("corrupt", "--prepared", prepared, "--image-size", 112, "--workers", 0)
    table = tmp_path / "all.csv"
    result = command(*words, "--csv", table, "--rows", tmp_path / "rows")
    assert result.code == 0, result.err
    assert result.out.startswith("accuracy on 10 corrupted images")
    assert "mean over severities 1, 2" in result.out
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3
    # Nothing was done to these scenes: the shipped network knows them.
    last = [float(row["accuracy"]) for row in rows if row["glimpses"] == "3"]
    assert min(last) >= 0.9
    again = command(*words, "--rows", tmp_path / "rows", "--json")
    assert '"corruption": "frost"' in again.out


def test_one_severity_of_one_corruption(command, prepared: Path) -> None:
    result = command("corrupt", "--prepared", prepared, "--corruption", "fog", "--severity", 2,
                     "--image-size", 112, "--workers", 0)  # fmt: skip
    assert "mean over severities 2" in result.out
    assert "frost" not in result.out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--severity", "-1"], "severity must be 1, 2, 3, 4 or 5, got -1"),
        (["--severity", "6"], "got 6"),
        (["--corruption", "rain"], "corruption must be one of"),
        (["--data", ".", "--prepared", "."], "either --data or --prepared"),
        (["--images", "501"], "there are 500 images, got 501"),
    ],
)
def test_wrong_usage(command, words: list[str], wanted: str) -> None:
    result = command("corrupt", *words)
    assert result.code == 2
    assert wanted in " ".join(result.err.split())


def test_folders_that_are_not_there(command, prepared: Path, tmp_path: Path) -> None:
    for words, wanted in (
        (["--prepared", tmp_path / "none"], "must be a folder"),
        (["--prepared", prepared, "--corruption", "snow"], "folder of a corruption, got none"),
        (["--prepared", prepared, "--severity", "5"], "fog/5, which does not exist"),
    ):
        result = command("corrupt", *words)
        assert result.code == 1
        assert wanted in result.err
