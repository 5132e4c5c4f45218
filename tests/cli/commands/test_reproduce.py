"""``mgnet-fast reproduce``: runs are made, go on, are left to others, and are shown."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import numpy as np
import pytest

from mgnet_fast.reproduction import attention
from mgnet_fast.reproduction.attention import claims

SMALL = ("--epochs", 1, "--threads", 1, "--quiet")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduce") / "table4"


def test_table4_makes_what_is_missing_and_shows_it(command, mnist_folder: Path, runs: Path) -> None:
    words = ("reproduce", "table4", "--data", mnist_folder, "--out", runs, "--only", "mgnet")
    first = command(*words, *SMALL)
    assert first.code == 0, first.err
    assert "0 of 1 runs done, time left unknown; starting mgnet-seed0" in first.out
    assert "99.54" in first.out
    assert "mgnet-seed0: 1 of 1 epochs, 0 min (cpu, 1 thread)" in first.out
    log = [json.loads(line) for line in (runs / "mgnet-seed0/log.jsonl").read_text().splitlines()]
    assert f"{100 * log[1]['accuracy'][2]:.2f}" in first.out
    assert log[1]["count"] == 500

    again = command(*words, *SMALL)
    assert again.code == 0
    assert "starting" not in again.out  # finished
    from_logs = command("reproduce", "table4", "--out", runs)
    assert from_logs.out == again.out


def test_figure4_attacks_the_runs(command, mnist_folder: Path, runs: Path, tmp_path: Path) -> None:
    result = command(
        "reproduce", "figure4", "--data", mnist_folder, "--runs", runs, "--out", tmp_path,
        "--steps", 2, "--images", 4, "--threads", 1,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert [line.split()[:2] for line in result.out.splitlines() if "mgnet-seed0" in line] == [
        ["mgnet-seed0", "paper"], ["mgnet-seed0", "honest"], ["mgnet-seed0", "worst"],
    ]  # fmt: skip
    assert (tmp_path / "figure4.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "mgnet-seed0-honest.jsonl").is_file()


def test_figure4_is_of_the_rows_that_the_paper_has(
    command, mnist_folder: Path, tmp_path: Path
) -> None:
    made = command(
        "reproduce", "table4", "--data", mnist_folder, "--out", tmp_path,
        "--only", "noisier-mgnet", *SMALL,
    )  # fmt: skip
    assert made.code == 0, made.err
    result = command("reproduce", "figure4", "--data", mnist_folder, "--runs", tmp_path)
    assert result.code == 2
    assert "holds no checkpoint of the paper's" in result.err


def test_learning_leaves_a_table_and_curves(command, mnist_folder: Path, tmp_path: Path) -> None:
    result = command(
        "reproduce", "learning", "--data", mnist_folder, "--out", tmp_path, "--seeds", 0,
        "--only", "AdamW, factor 1", "-T", 2, *SMALL,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "AdamW, factor 1" in result.out
    assert (tmp_path / "learning.csv").read_text().count("\n") == 2
    assert (tmp_path / "learning.png").is_file()


def test_a_run_that_another_process_makes_is_left_to_it(
    command, mnist_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mgnet-seed0").mkdir()
    with (tmp_path / "mgnet-seed0" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = command(
            "reproduce", "table4", "--data", mnist_folder, "--out", tmp_path, "--only", "mgnet",
            *SMALL,
        )  # fmt: skip
    assert "skipped, another process is making it: mgnet-seed0" in result.out
    assert not (tmp_path / "mgnet-seed0" / "log.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "wanted", "code"),
    [
        (["table4", "--out", "{tmp}"], "holds no run with a finished epoch; give --data", 2),
        (["table4", "--out", "{tmp}", "--data", "absent"], "got absent", 1),
        (["table4", "--out", "{tmp}", "--data", "{data}", "--only", "x"], "rows must be of", 1),
        (["table4", "--seeds", "0,-1"], "wanted numbers such as 0,1,2", 2),
        (["learning", "--out", "{tmp}", "--data", "{data}", "--only", "x"], "variants must", 1),
        (
            ["figure4", "--data", "{data}", "--runs", "{tmp}"],
            "holds no checkpoint of the paper's",
            2,
        ),
    ],
)
def test_errors_come_before_any_work(
    command, mnist_folder: Path, tmp_path: Path, words: list[str], wanted: str, code: int
) -> None:
    words = [word.format(tmp=tmp_path, data=mnist_folder) for word in words]
    result = command("reproduce", *words)
    assert wanted in result.err
    assert result.code == code
    assert not list(tmp_path.iterdir())


def test_attention_is_trained_measured_and_shown_again(
    command, mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"widths": [2, 2, 3, 3, 4, 4]}
    variants = {"attended": small, "plain": {"levels": 0, **small}}
    monkeypatch.setattr(attention, "VARIANTS", variants)
    words = ("reproduce", "attention", "--out", tmp_path, "--seeds", "0,1", "--epochs", 1)
    result = command(*words, "--data", mnist_folder, "--images", 6, "--threads", 1, "--quiet")
    assert result.code == 0, result.err
    for what in ("error, %", "Jaccard, level 3", "honest 4/255", "carried accuracy"):
        assert what in result.out
    kept = json.loads((tmp_path / "attended-seed1" / "measured.json").read_text())
    assert kept["accuracy"][0] == 500
    assert set(kept["jaccard"]) == {"level 1", "level 2", "level 3", "saliency", "log saliency"}
    assert claims({"plain-seed0": kept})[0][0] == "error, %"
    again = command(*words)
    assert result.out.endswith(again.out)
    assert command("reproduce", "attention", "--out", tmp_path / "none").code != 0

    clothes = tmp_path / "clothes"
    clothes.mkdir()
    for split, count in (("train", 40), ("t10k", 20)):
        _write_like_fashion_mnist(clothes, split, count)
    carried = command(*words, "--carry-to", clothes, "--images", 20)
    assert carried.code == 0, carried.err
    assert "accuracy, carried to clothes, %" in carried.out
    missing = command(*words, "--carry-to", tmp_path)
    assert missing.code == 1
    assert "train-images-idx3-ubyte" in missing.err


def _write_like_fashion_mnist(folder: Path, split: str, count: int) -> None:
    """Uncompressed files with the names and headers of Fashion-MNIST's, and random pixels."""
    random = np.random.default_rng(count)
    pixels = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 10
    (folder / f"{split}-images-idx3-ubyte").write_bytes(
        np.array([0x803, count, 28, 28], ">i4").tobytes() + pixels.tobytes()
    )
    (folder / f"{split}-labels-idx1-ubyte").write_bytes(
        np.array([0x801, count], ">i4").tobytes() + labels.tobytes()
    )
