"""The table of accuracies in a terminal of 80 columns."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mgnet_fast.cli.accuracy_table import accuracy_table
from mgnet_fast.evaluation import Accuracy


def lines(accuracy: Accuracy, costs: list[int] | None) -> list[str]:
    screen = Console(file=io.StringIO(), width=80)
    screen.print(accuracy_table("of a network", accuracy, costs))
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("costs", [None, [334_217_049, 8_541_660_732]])
def test_top5_fits_in_one_line_a_glimpse(costs: list[int] | None) -> None:
    accuracy = Accuracy((4061, 38_065), 50_000, (1.0, 0.27), correct_top5=(30_000, 46_430))
    shown = lines(accuracy, costs)
    assert shown[2].split()[:2] == ["T", "top-1"]
    rows = [shown[4].split(), shown[5].split()]
    assert rows[0][:6] == ["1", "8.12", "7.89", "to", "8.36", "60.00"]
    assert rows[1][:6] == ["2", "76.13", "75.75", "to", "76.50", "92.86"]
    assert rows[1][-2:] == ["27", "%"]
    if costs is not None:
        assert rows[1][9:11] == ["8541.660732", "M"]


def test_ten_classes_need_no_top5() -> None:
    shown = lines(Accuracy((5,), 10, (1.0,)), [10**6])
    assert shown[2].split()[:2] == ["glimpses", "accuracy"]
    assert " ".join(shown[4].split()) == "1 50.00 % 23.66 to 76.34 % 1.000000 M 100 %"
