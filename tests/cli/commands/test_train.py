"""``mgnet-fast train``: options reach the trainer, runs resume, errors come before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mgnet_fast import training
from mgnet_fast.evaluation import Accuracy
from mgnet_fast.training import RunSummary, get_recipe

TINY = ("--batch-size", 100, "--lr", 0.02, "--threads", 1, "--no-tensorboard", "--quiet")


def test_a_run_leaves_checkpoint_and_log_and_says_what_next(
    command, mnist_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run[red]"  # brackets, which rich would take for markup
    result = command("train", "--data", mnist_folder, "--out", out, "--epochs", 1, *TINY)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("mgnet_toy after 1 epoch, 0 min")
    assert lines[-1].startswith(f"next: mgnet-fast demo --checkpoint {out}/model.safetensors")
    assert f"log         {out}/log.jsonl" in lines
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert log[0]["recipe"]["peak_lr"] == 0.02
    assert f"{100 * log[1]['accuracy'][-1]:.2f} %" in result.out

    evaluated = command("eval", out / "model.safetensors", "--data", mnist_folder, "--json")
    assert json.loads(evaluated.out)["accuracy"] == pytest.approx(log[1]["accuracy"], abs=1e-6)

    again = command("train", "--data", mnist_folder, "--out", out, "--epochs", 1, *TINY)
    assert again.code == 1
    assert "with a run in it" in again.err


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What reaches the trainer, which does nothing here."""
    seen: list[dict[str, Any]] = []

    def run(**options: Any) -> RunSummary:
        seen.append(options)
        accuracy = Accuracy((80, 90), 100, (1.0, 0.25))
        return RunSummary(accuracy, 2, 61.2, tmp_path / "model.safetensors", tmp_path / "log.jsonl")

    monkeypatch.setattr(training, "run", run)
    return seen


def test_every_option_reaches_the_trainer(command, calls: list[dict[str, Any]]) -> None:
    words = (
        "train --data d --out o --dataset noisy-translated-mnist --model mgnet_resnet18 "
        "--set levels=2 --set score=dp --mean 0.1,0.2 --std 0.3,0.4 --recipe paper -T 5 "
        "--glimpse-loss paper --antialias --noise-std 0.5 --seed 7 --resume "
        "--epochs 3 --weights w --backbone-weights b "
        "--batch-size 64 --lr 0.3 --weight-decay 0.01 --alpha 0.5 "
        "--gradient-scale 0.1 "
        "--gradient-scale-warmup 0.3 --adaptive-gradient-share 0.4 --gradient-clip 2 "
        "--optimizer adamw --checkpoint-glimpses --size-weight 0.2 --label-smoothing 0.05 "
        "--average-decay 0.9 --layer-decay 0.7 --frozen-epochs 2 --threads 2 --device cuda:1 "
        "--hide-first 0.4 --hide-first-steps 0.3 "
        "--bf16 --compile --sync-batch-norm --no-tensorboard --quiet"
    )
    assert command(*words.split()).code == 0
    recipe = get_recipe(
        "paper",
        peak_lr=0.3,
        weight_decay=0.01,
        alpha=0.5,
        gradient_scale=0.1,
        gradient_scale_warmup=0.3,
        adaptive_gradient_share=0.4,
        gradient_clip=2.0,
        optimizer="adamw",
        size_weight=0.2,
        label_smoothing=0.05,
        average_decay=0.9,
        layer_decay=0.7,
        frozen_epochs=2,
        hide_first=0.4,
        hide_first_steps=0.3,
    )
    assert calls == [
        {
            "data_dir": Path("d"),
            "out": Path("o"),
            "dataset": "noisy-translated-mnist",
            "model": "mgnet_resnet18",
            "recipe": recipe,
            "epochs": 3,
            "batch_size": 64,
            "num_glimpses": 5,
            "glimpse_loss": "paper",
            "antialias": True,
            "network_fields": {
                "levels": 2,
                "score": "dp",
                "mean": [0.1, 0.2],
                "std": [0.3, 0.4],
            },
            "noise_std": 0.5,
            "seed": 7,
            "threads": 2,
            "device": "cuda:1",
            "precision": "bf16",
            "compiled": True,
            "checkpoint_glimpses": True,
            "sync_batch_norm": True,
            "images": None,
            "weights": Path("w"),
            "backbone_weights": Path("b"),
            "resume": True,
            "progress": False,
            "tensorboard": False,
        }
    ]


def test_the_default_recipe_is_the_default(command, calls: list[dict[str, Any]]) -> None:
    assert command("train", "--data", "d").code == 0
    (options,) = calls
    assert options["recipe"] == get_recipe("default", hide_first=0.5, hide_first_steps=0.1)
    assert options["antialias"]
    assert options["out"] == Path("runs/translated-mnist")
    assert options["epochs"] is None
    assert options["precision"] == "fp32"
    assert options["progress"]
    assert options["tensorboard"]


@pytest.mark.parametrize(
    ("words", "share"),
    [
        ("", 0.5),
        ("--resume", 0.5),
        ("--hide-first 0", 0.0),
        ("--hide-first 0.2", 0.2),
        ("--no-antialias", 0.0),
        ("--recipe paper", 0.0),
        ("--model tnet_toy", 0.0),
    ],
)
def test_averaging_mgnets_hide_the_first_glimpse_by_the_default_recipe(
    command, calls: list[dict[str, Any]], words: str, share: float
) -> None:
    assert command("train", "--data", "d", *words.split()).code == 0
    assert calls[0]["recipe"].hide_first == share


@pytest.mark.parametrize(
    ("words", "antialias"),
    [
        ("--recipe paper", None),
        ("--no-antialias", False),
        ("--model tnet_toy", None),
        ("--resume", None),
    ],
)
def test_mgnets_antialias_by_the_default_recipe_alone(
    command, calls: list[dict[str, Any]], words: str, antialias: bool | None
) -> None:
    assert command("train", "--data", "d", *words.split()).code == 0
    assert calls[0]["antialias"] is antialias


def test_only_the_first_of_several_processes_reports(
    command, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert command("train", "--data", "d") == (0, "", "")
    monkeypatch.setenv("RANK", "0")
    assert "90.00 %" in command("train", "--data", "d").out


@pytest.mark.parametrize("saved", [True, False])
def test_interrupting_says_how_to_go_on(
    command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, saved: bool
) -> None:
    def run(**_: Any) -> None:
        if saved:
            (tmp_path / "training.pt").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run", run)
    result = command("train", "--data", "d", "--out", tmp_path)
    assert result.code == 1
    assert ("--resume" in result.err) == saved
    assert result.err.startswith("error: interrupted")
    assert ("nothing to resume" in result.err) != saved


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--data", "absent"], "--data must be a folder with the MNIST files, got absent"),
        (["--data", "{data}", "--lr", "-1"], "--lr must be above 0, got -1"),
        (["--data", "{data}", "--alpha", "2"], "alpha must be in [0, 1], got 2"),
        (["--data", "{data}", "--batch-size", "501"], "at most the 500 training scenes, got 501"),
        (["--data", "{data}", "--device", "tpu9000"], "tpu9000"),
        (["--data", "{data}", "--resume"], "must hold a run to resume"),
        (["--data", "{data}", "--weights", "absent"], "weights absent do not exist"),
    ],
)
def test_errors_come_before_any_work(
    command, mnist_folder: Path, tmp_path: Path, words: list[str], wanted: str
) -> None:
    out = tmp_path / "run"
    words = [word.format(data=mnist_folder) for word in words]
    result = command("train", *words, "--out", out)
    assert result.code == 1
    assert wanted in result.err
    assert len(result.err.splitlines()) == 1
    assert not (out / "training.pt").exists()
