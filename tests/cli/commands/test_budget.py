"""``mgnet-fast budget``: a table, a CSV file and a picture of the same points."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

QUICK = ("--images", 5, "--rounds", 1, "--threads", 1, "--threshold", 0.9)


def test_table_csv_and_plot(command, checkpoint: Path, tmp_path: Path) -> None:
    table, plot = tmp_path / "points.csv", tmp_path / "points.svg"
    result = command("budget", checkpoint, *QUICK, "--csv", table, "--plot", plot)
    assert result.code == 0, result.err
    assert result.out.startswith("5 scenes of translated-mnist, 1 in flight, 1 thread")
    assert re.search(r"T = 3 +3\.00 ", result.out)
    assert "10.413 M" in result.out
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == ["glimpses"] * 3 + ["exit"]
    assert "<svg" in plot.read_text()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--threshold", "1.5"], "wanted a probability in (0, 1], got 1.5"),
        (["--rounds", "0"], "--rounds"),
        (["--images", "501"], "there are 500 scenes, got 501"),
        (["--plot", "points"], "got 'points'"),
    ],
)
def test_wrong_usage(command, words: list[str], wanted: str) -> None:
    result = command("budget", *words)
    assert result.code == 2
    assert wanted in result.err
