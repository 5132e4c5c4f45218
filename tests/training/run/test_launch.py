"""Whole runs: what they leave behind, how they are interrupted and resumed, what they refuse."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from mgnet_fast.data import load_dataset
from mgnet_fast.evaluation import evaluate
from mgnet_fast.models.files.checkpoints import load_checkpoint
from mgnet_fast.training import Recipe, RunSummary, Trainer, run
from mgnet_fast.training.run.log import read_log

RECIPE = Recipe(epochs=2, batch_size=20, size_weight=1.0, average_decay=0.9)


def start(folder: Path, data: Path, **options: Any) -> RunSummary:
    defaults: dict[str, Any] = {"recipe": RECIPE, "progress": False, "tensorboard": False}
    return run(data_dir=data, out=folder, **{**defaults, **options})


def weights(summary: RunSummary) -> dict[str, torch.Tensor]:
    return load_checkpoint(summary.checkpoint).state_dict()


@pytest.fixture(scope="module")
def finished(mnist_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    return start(tmp_path_factory.mktemp("runs") / "whole", mnist_folder, threads=1)


def test_says_what_it_will_do(
    mnist_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start(tmp_path / "run", mnist_folder, epochs=1, progress=True, threads=1)
    first, *others = capsys.readouterr().err.splitlines()
    assert first.startswith("mgnet_toy on 100 scenes of translated-mnist: 1 epoch of 5 steps, 1 th")
    assert others[0].startswith("epoch 1/1")
    start(tmp_path / "run", mnist_folder, epochs=1, progress=True, threads=1, resume=True)
    assert capsys.readouterr().err == ""


def test_leaves_checkpoint_and_log(finished: RunSummary, mnist_folder: Path) -> None:
    model = load_checkpoint(finished.checkpoint)
    assert model.config.num_glimpses == 3
    again = evaluate(model, load_dataset("translated-mnist", mnist_folder, "test"))
    assert again.correct == finished.accuracy.correct
    assert again.mean_scale == pytest.approx(finished.accuracy.mean_scale, rel=1e-6)
    first, *epochs = read_log(finished.log)
    assert first["kind"] == "run"
    assert first["recipe"] == RECIPE.to_dict()
    assert (first["dataset"], first["seed"], first["threads"]) == ("translated-mnist", 0, 1)
    assert [row["epoch"] for row in epochs] == [1, 2]
    for row in epochs:
        assert len(row["accuracy"]) == len(row["mean_scale"]) == 3
        assert row["mean_scale"][0] == row["at_the_border"][0] == 1.0
        assert len(row["at_the_border"]) == 3
        assert row["gradient_ratio"] > 0
        assert row["loss"] > 0
        assert row["images_per_second"] > 0
    assert epochs[-1]["accuracy"] == pytest.approx(finished.accuracy.accuracy, abs=1e-6)
    assert finished.seconds == pytest.approx(sum(row["seconds"] for row in epochs))
    content = finished.log.read_text()
    assert str(finished.log.parent) not in content
    assert str(mnist_folder) not in content


def test_a_network_without_the_recipes_parts_is_trained_by_the_same_recipe(
    mnist_folder: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "dataset": "cluttered-mnist-32",
        "model": "ltpa_vgg_small",
        "network_fields": {"levels": 2, "widths": [2, 2, 3, 3, 4, 4]},
    }
    summary = start(tmp_path / "run", mnist_folder, epochs=1, **options)
    model = load_checkpoint(summary.checkpoint)
    assert (model.config.levels, model.config.widths) == (2, (2, 2, 3, 3, 4, 4))
    assert read_log(summary.log)[0]["network_fields"] == options["network_fields"]
    start(tmp_path / "run", mnist_folder, epochs=1, resume=True, **options)
    with pytest.raises(ValueError, match=r"unknown options \['antialais'\]"):
        start(tmp_path / "other", mnist_folder, network_fields={"antialais": True})


def test_interrupted_in_an_epoch_it_loses_that_epoch_and_ends_the_same(
    finished: RunSummary, mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, steps = Trainer.step, []

    def interrupted_step(trainer: Trainer, *batch: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        if len(steps) == 8:  # the third of five steps of the second epoch
            raise KeyboardInterrupt
        return step(trainer, *batch)

    monkeypatch.setattr(Trainer, "step", interrupted_step)
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "run", mnist_folder, threads=1)
    monkeypatch.setattr(Trainer, "step", step)
    load_checkpoint(tmp_path / "run" / "model.safetensors")  # the first epoch's, whole
    resumed = start(tmp_path / "run", mnist_folder, threads=1, resume=True)
    assert resumed.accuracy == finished.accuracy
    rows, expected = read_log(resumed.log), read_log(finished.log)
    assert (rows[2]["kind"], rows[2]["epoch"]) == ("resume", 1)
    del rows[2]
    for row, other in zip(rows, expected, strict=True):
        for timing in ("seconds", "images_per_second", "started"):
            row.pop(timing, None)
            other.pop(timing, None)
    assert rows == expected
    for (name, a), b in zip(weights(resumed).items(), weights(finished).values(), strict=True):
        assert torch.equal(a, b), name


def test_resuming_a_finished_run_changes_nothing(
    finished: RunSummary, mnist_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished.log.parent, tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    again = start(tmp_path / "run", mnist_folder, resume=True)
    assert again.log.read_text() == finished.log.read_text()
    assert again.accuracy == finished.accuracy
    for a, b in zip(weights(again).values(), weights(finished).values(), strict=True):
        assert torch.equal(a, b)


def test_resume_refuses_another_recipe_or_run_and_names_the_fields(
    finished: RunSummary, mnist_folder: Path
) -> None:
    folder = finished.log.parent
    before = finished.log.read_bytes()
    changed = Recipe(**{**RECIPE.to_dict(), "epochs": 3, "peak_lr": 0.2})
    with pytest.raises(ValueError, match=r"epochs: 2 -> 3; peak_lr: 0\.1 -> 0\.2$"):
        start(folder, mnist_folder, recipe=changed, resume=True)
    with pytest.raises(ValueError, match="num_glimpses: 3 -> 2; seed: 0 -> 1"):
        start(folder, mnist_folder, num_glimpses=2, seed=1, resume=True)
    assert finished.log.read_bytes() == before


def test_antialias_is_kept_with_the_weights_and_when_resumed(
    mnist_folder: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"epochs": 1, "threads": 1}
    summary = start(tmp_path / "run", mnist_folder, antialias=True, **options)
    assert load_checkpoint(summary.checkpoint).config.antialias
    assert read_log(summary.log)[0]["antialias"] is True
    start(tmp_path / "run", mnist_folder, resume=True, **options)
    with pytest.raises(ValueError, match="antialias: True -> False"):
        start(tmp_path / "run", mnist_folder, resume=True, antialias=False, **options)


def test_does_not_overwrite_a_run(finished: RunSummary, mnist_folder: Path) -> None:
    with pytest.raises(ValueError, match="out must be a new folder"):
        start(finished.log.parent, mnist_folder)


def test_noisy_dataset_trains(mnist_folder: Path, tmp_path: Path) -> None:
    summary = start(tmp_path / "run", mnist_folder, dataset="noisy-translated-mnist", epochs=1)
    assert read_log(summary.log)[0]["noise_std"] == 0.3


def damage_images(data: Path) -> None:
    path = data / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])


def remove_labels(data: Path) -> None:
    (data / "t10k-labels-idx1-ubyte").unlink()


@pytest.mark.parametrize(
    ("damage", "options", "message"),
    [
        (damage_images, {}, "train-images-idx3-ubyte: wanted .* the file is cut"),
        (remove_labels, {}, "lacks MNIST files: t10k-labels-idx1-ubyte"),
        (None, {"dataset": "cifar"}, "dataset must be one of translated-mnist, noisy.*'cifar'"),
        (None, {"recipe": "best"}, "recipe must be one of"),
        (None, {"model": "mgnet_tiny"}, "mgnet_tiny"),
        (None, {"model": "mgnet_resnet18"}, "model must have in_chans = 1"),
        (None, {"batch_size": 1000}, "batch_size must be at most the 100 training scenes"),
        (None, {"threads": 0}, "threads must be at least 1, got 0"),
        (None, {"seed": -1}, "seed must be at least 0, got -1"),
        (None, {"precision": "int8"}, "precision must be fp32 or bf16"),
        (None, {"device": "abacus"}, "device must be one such as"),
        (None, {"glimpse_loss": "both"}, "glimpse_loss must be one of"),
        (None, {"noise_std": -1.0}, "noise_std must be at least 0"),
        (None, {"resume": True}, "out must hold a run to resume"),
    ],
)
def test_everything_is_checked_before_the_first_step(
    mnist_folder: Path,
    tmp_path: Path,
    damage: Any,
    options: dict[str, Any],
    message: str,
) -> None:
    data = tmp_path / "data"
    shutil.copytree(mnist_folder, data)
    if damage is not None:
        damage(data)
    with pytest.raises(ValueError, match=message):
        start(tmp_path / "run", data, **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_missing_gpu_is_named(mnist_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="torch finds no CUDA GPU"):
        start(tmp_path / "run", mnist_folder, device="cuda")


def test_out_must_be_a_folder_to_write_in(mnist_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(ValueError, match="out must be a folder, got a file"):
        start(tmp_path / "run", mnist_folder)
    (tmp_path / "folder").mkdir(mode=0o500)
    if not _can_write(tmp_path / "folder"):
        with pytest.raises(ValueError, match="out must be a folder to write in"):
            start(tmp_path / "folder", mnist_folder)


def _can_write(folder: Path) -> bool:
    """True for root, whom permissions do not stop."""
    try:
        (folder / "probe").touch()
    except OSError:
        return False
    (folder / "probe").unlink()
    return True
