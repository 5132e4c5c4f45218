"""The demo: its numbers are the run's own, and no speed is shown where results differ."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from mgnet_fast import demo
from mgnet_fast.assets import digit_paths
from mgnet_fast.data import read_digits
from mgnet_fast.demo import Comparison, compare, load_model, load_scenes, pick_examples
from mgnet_fast.evaluation import evaluate
from mgnet_fast.models import create_model
from mgnet_fast.models.files.checkpoints import save_checkpoint


def test_demo_prints_accuracy_picture_speed_and_next(
    command, checkpoint: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "glimpses.png"
    threads = torch.get_num_threads()
    result = command(
        "demo", "--checkpoint", checkpoint, "--images", 40, "--budget", 0.1, "--out", picture
    )
    assert result.code == 0, result.err
    assert torch.get_num_threads() == threads
    accuracy = evaluate(load_model(checkpoint), load_scenes(40)).accuracy
    for share in accuracy:
        assert f"{100 * share:.2f} %" in result.out
    for case in ("glimpse, 224 to 96 px", "toy, T=3, batch 1", "toy, T=3, batch 256", "ResNet-18"):
        assert case in result.out
    assert "-  " not in result.out.split("ResNet-18")[1].splitlines()[0]
    assert "…" not in result.out, "a column is cut"
    assert "next: mgnet-fast train --data DIR" in result.out
    height, width, _ = matplotlib.image.imread(picture).shape
    assert height > 1000
    assert width > 1000


def test_no_budget_measures_nothing(command, checkpoint: Path, tmp_path: Path) -> None:
    result = command(
        "demo",
        "--checkpoint",
        checkpoint,
        "--images",
        1,
        "--budget",
        0,
        "--out",
        tmp_path / "a.svg",
    )
    assert result.code == 0
    assert "speed-up" not in result.out
    assert (tmp_path / "a.svg").is_file()


def test_differing_results_show_no_speed_and_fail(
    command, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Comparison("one", 1e-7, 2e-3, 1e-3, 2.0, 1.9, 2.1, 9), Comparison("other", 0.5)]
    monkeypatch.setattr(demo, "compare_speed", lambda *_: iter(rows))
    result = command("demo", "--checkpoint", checkpoint, "--images", 9, "--out", tmp_path / "a.png")
    assert result.code == 1
    assert "2.0x" in result.out
    (row,) = [line for line in result.out.splitlines() if line.strip().startswith("other")]
    assert row.split() == ["other", "-", "-", "-", "5e-01"]
    assert "they do not in: other" in result.err


def test_parity_is_checked_before_anything_is_timed() -> None:
    calls: list[str] = []

    def published() -> torch.Tensor:
        calls.append("published")
        return torch.ones(3)

    def package() -> torch.Tensor:
        calls.append("package")
        return torch.tensor([1.0, 1.0, 1.01])

    row = compare("case", published, package, seconds=10)
    assert not row.agrees
    assert row.difference == pytest.approx(0.01, rel=1e-4)
    assert math.isnan(row.ratio)
    assert calls == ["published", "package"]


def test_nan_never_agrees() -> None:
    row = compare("case", lambda: torch.ones(2), lambda: torch.tensor([1.0, math.nan]), 0.01)
    assert not row.agrees


def test_ratio_is_of_pairs_whose_order_alternates(monkeypatch: pytest.MonkeyPatch) -> None:
    def published() -> torch.Tensor:
        return torch.ones(1)

    def package() -> torch.Tensor:
        return torch.ones(1)

    timed: list[tuple[str, int]] = []

    def took(run: demo.Run, repeats: int) -> float:
        timed.append((run.__name__, repeats))
        return 3e-4 if run is published else 1e-4

    monkeypatch.setattr(demo, "_time", took)
    row = compare("case", published, package, seconds=0.0)
    assert row.ratio == row.ratio_low == row.ratio_high == pytest.approx(3.0)
    assert (row.published_seconds, row.package_seconds) == (3e-4, 1e-4)
    assert row.pairs == demo.LEAST_PAIRS
    # Each sample lasts the least time: 7 calls of 300 us, 20 of 100 us.
    slow, fast = ("published", 7), ("package", 20)
    # Before them a warm-up and one sample of each.
    assert timed[4:] == ([slow, fast, fast, slow] * demo.LEAST_PAIRS)[: 2 * demo.LEAST_PAIRS]


def test_examples_are_shared_among_kinds() -> None:
    right = torch.tensor(
        [
            [True] * 8 + [False] * 6,
            [True] * 8 + [True] * 4 + [False] * 2,
        ]
    )
    always, corrected, wrong = pick_examples(right)
    assert always == [0, 1, 2, 3]
    assert corrected == [8, 9, 10]
    assert wrong == [12, 13]


def test_examples_fill_up_from_what_there_is() -> None:
    assert pick_examples(torch.zeros(2, 20, dtype=torch.bool)) == ([], [], list(range(9)))
    assert pick_examples(torch.ones(2, 4, dtype=torch.bool)) == ([0, 1, 2, 3], [], [])


def test_scenes_hold_the_shipped_digits_unchanged() -> None:
    digits = read_digits(*digit_paths())
    assert torch.bincount(digits.labels).tolist() == [50] * 10
    scenes = load_scenes(30)
    images = scenes.scenes(np.arange(30))
    assert torch.equal(images.sum((1, 2, 3)), digits.images[:30].sum((1, 2)))
    with pytest.raises(ValueError, match="from 1 to the 500 shipped digits, got 501"):
        load_scenes(501)


def test_checkpoint_of_other_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "colour.safetensors"
    save_checkpoint(create_model("mgnet_toy", in_chans=3), path)
    with pytest.raises(ValueError, match="got 3 channels, 10 classes"):
        load_model(path)
