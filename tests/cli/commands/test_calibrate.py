"""``mgnet-fast calibrate``: rules for a budget, and what the other commands make of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgnet_fast import Confidence, Entropy, LearnedExit, load_exit, save_exit


def test_a_learned_rule_for_a_budget(command, tmp_path: Path) -> None:
    out = tmp_path / "exit.json"
    words = ("--budget", 1.4, "--rule", "learned", "--out", out, "--threads", 1)
    result = command("calibrate", *words)
    assert result.code == 0, result.err
    assert "166 of 500 scenes of translated-mnist" in result.out
    assert "threshold of LearnedExit" in result.out
    assert f"written: {out}" in result.out
    rule = load_exit(out)
    assert isinstance(rule, LearnedExit)


def test_a_threshold_for_each_glimpse(command, tmp_path: Path) -> None:
    out = tmp_path / "exit.json"
    words = ("--budget", 6, "--unit", "multiply-adds", "--by-glimpse", "--out", out)
    result = command("calibrate", *words, "--images", 100, "--rule", "entropy")
    assert result.code == 0, result.err
    rule = load_exit(out)
    assert isinstance(rule, Entropy)
    assert isinstance(rule.threshold, tuple)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (112, 112), np.uint8)).save(path)
    return path


def test_predict_leaves_by_the_rule_of_a_file(command, picture: Path, tmp_path: Path) -> None:
    for threshold, glimpses in ((0.0, {"1"}), (float("inf"), {"3"})):
        save_exit(Confidence(threshold), tmp_path / "exit.json")
        out = tmp_path / "found.csv"
        result = command("predict", picture, "--exit", tmp_path / "exit.json", "--out", out)
        assert result.code == 0, result.err
        with out.open(newline="") as file:
            assert {row["glimpses"] for row in csv.DictReader(file)} == glimpses


@pytest.mark.parametrize(
    ("words", "code", "wanted"),
    [
        ([], 2, "--budget"),
        (["--budget", "0.5"], 1, "budget must be at least 1, the cost of 1 glimpse, got 0.5"),
        (["--budget", "1.5", "--out", "rule.txt"], 2, "ends in .json, got rule.txt"),
        (["--budget", "1.5", "--out", "gone/rule.json"], 2, "there is no folder gone"),
        (["--budget", "1.5", "--images", "501"], 2, "there are 500 scenes, got 501"),
        (["--budget", "1.5", "--rule", "learned", "--images", "60"], 1, "50 images, got 40"),
    ],
)
def test_wrong_usage(command, words: list[str], code: int, wanted: str) -> None:
    result = command("calibrate", *words)
    assert result.code == code
    assert wanted in result.err


def test_files_that_hold_no_rule(command, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "exit.json").write_text(json.dumps({"rule": "Sometimes"}))
    for name, code, wanted in (
        (tmp_path / "exit.json", 1, "holds no exit rule: rule must be one of"),
        (tmp_path / "gone.json", 1, "gone.json"),
        ("sometimes", 2, "wanted confidence, margin, entropy, never or a .json file"),
    ):
        result = command("predict", picture, "--exit", name)
        assert result.code == code
        assert wanted in result.err
