"""``mgnet-fast attack``: tables, JSON, curves; wrong usage before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mgnet_fast.models import create_model
from mgnet_fast.models.files.checkpoints import save_checkpoint

QUICK = ("--images", 6, "--steps", 2, "--threads", 1)


def test_tables_name_the_modes_and_the_curves_are_drawn(command, tmp_path: Path) -> None:
    plot = tmp_path / "curves.png"
    result = command("attack", *QUICK, "--plot", plot)
    assert result.code == 0, result.err
    for mode in ("paper", "honest", "worst"):
        assert f"mgnet_toy.safetensors, PGD, {mode} mode" in result.out
    rows = [line.split() for line in result.out.splitlines() if line.strip()[:2] in ("0 ", "2 ")]
    assert len(rows) == 6
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_json_and_rows_that_a_second_call_takes_over(command, tmp_path: Path) -> None:
    words = ("attack", *QUICK, "--mode", "honest", "--rows", tmp_path / "rows", "--json")
    first, second = command(*words), command(*words)
    assert first.code == 0, first.err
    assert first.out == second.out
    (found,) = json.loads(first.out)
    assert (found["mode"], found["count"]) == ("honest", 6)
    assert len(found["correct_by_steps"]) == 3
    (file,) = (tmp_path / "rows").iterdir()
    assert len(file.read_text().splitlines()) == 2
    other = command(*words, "--eps", "0.1")
    assert other.code == 1
    assert "another run (different: settings)" in other.err


def test_a_network_that_chooses_no_region_has_two_modes(command, tmp_path: Path) -> None:
    path = tmp_path / "attends.safetensors"
    save_checkpoint(create_model("ltpa_vgg_small", widths=(2, 2, 3, 3, 4, 4)), path)
    result = command("attack", *QUICK, "-c", path, "--dataset", "cluttered-mnist-32", "--json")
    assert result.code == 0, result.err
    assert [each["mode"] for each in json.loads(result.out)] == ["paper", "honest"]


def test_fgsm_is_one_step_of_eps(command) -> None:
    result = command("attack", *QUICK, "--method", "fgsm", "--eps", 0.1, "--json")
    for found in json.loads(result.out):
        assert found["settings"]["step"] == found["settings"]["eps"] == 0.1
        assert len(found["correct_by_steps"]) == 2


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--eps", "-1"], "--eps"),
        (["--steps", "0"], "--steps"),
        (["--steps", "-3"], "--steps"),
        (["--mode", "fair"], "'worst'"),
        (["--images", "501"], "there are 500 scenes, got 501"),
        (["--plot", "a.gif"], ".png, .pdf or .svg, got 'a.gif'"),
    ],
)
def test_wrong_usage(command, words: list[str], wanted: str) -> None:
    result = command("attack", *words)
    assert result.code == 2
    assert wanted in result.err


def test_network_of_other_images_is_refused_before_the_first_one_runs(
    command, checkpoint: Path, tmp_path: Path
) -> None:
    path, rows = tmp_path / "colour.safetensors", tmp_path / "rows"
    save_checkpoint(create_model("mgnet_toy", in_chans=3), path)
    result = command("attack", checkpoint, path, "--rows", rows)
    assert result.code == 1
    assert "in_chans = 1 for these scenes, got 3" in result.err
    assert not rows.exists()
