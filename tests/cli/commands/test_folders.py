"""The commands on folders of images: subset, training, evaluation, prediction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.image_trees import CLASSES, damage, write_tree

from mgnet_fast.data.folders import auto_augment
from mgnet_fast.data.folders.auto_augment import choose_auto_augment
from mgnet_fast.models.backbones.by_name import create_backbone
from mgnet_fast.models.files.checkpoints import load_checkpoint
from mgnet_fast.training.run.start_weights import file_fingerprint

SMALL = ("--image-size", 32, "--glimpse-size", 20, "--auto-augment", "none", "--workers", 1)
QUIET = ("--threads", 1, "--no-tensorboard", "--quiet")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("images"))


def test_from_a_subset_to_class_names(command, root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("cat\nape\n")
    subset = tmp_path / "two"
    linked = command("imagenet100", tmp_path / "list.txt", root, subset)
    assert linked.code == 0, linked.err
    assert "2 classes, 16 images in train, 8 images in val; 4 links made" in linked.out
    assert f"next: mgnet-fast train --data {subset}" in linked.out
    again = command("imagenet100", tmp_path / "list.txt", root, subset)
    assert "all links existed" in again.out

    out = tmp_path / "run"
    words = ("--model", "mgnet_toy", "--out", out, "--epochs", 1, "--batch-size", 8)
    trained = command("train", "--data", subset, *words, *SMALL, *QUIET)
    assert trained.code == 0, trained.err
    checkpoint = out / "model.safetensors"
    assert f"next: mgnet-fast eval --checkpoint {checkpoint} --data {subset}" in trained.out

    evaluated = command("eval", checkpoint, "--data", subset, "--json", "--workers", 0)
    found = json.loads(evaluated.out)
    assert (found["count"], found["classes"], found["image_size"]) == (8, 2, 32)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert found["accuracy"] == pytest.approx(log[1]["accuracy"], abs=1e-6)
    table = command("eval", checkpoint, "--data", subset / "val", "--workers", 0).out
    assert table.startswith("model.safetensors on 8 images of 2 classes")

    rows = command("predict", root / "val", "--checkpoint", checkpoint).out.splitlines()
    assert len(rows) == 12
    for row in map(json.loads, rows):
        assert row["class"] == ("ape", "cat")[row["label"]]
    lines = command(
        "predict", root / "val" / "ape", "--checkpoint", checkpoint, "--format", "csv"
    ).out.splitlines()
    assert lines[0] == "path,class,label,probability,glimpses,finite"
    assert lines[1].split(",")[1] in CLASSES

    refused = command("eval", checkpoint, "--data", root)
    assert refused.code == 1
    assert f"checkpoint {checkpoint} must be trained for the 3 classes of" in refused.err
    assert "only in the folder: bee" in refused.err


def test_unreadable_images_are_named_and_the_code_says_so(command, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "images", train=4, val=2)
    damage(root / "val" / "bee" / "0.jpg")
    out = tmp_path / "run"
    words = ("--data", root, "--model", "mgnet_toy", "--out", out, "--epochs", 1)
    refused = command("train", *words, *SMALL, *QUIET, "--max-unreadable", 0)
    assert (refused.code, out.exists()) == (1, False)
    assert "error: at most 0 unreadable images may be skipped" in refused.err
    trained = command("train", *words, *SMALL, *QUIET, "--batch-size", 12)
    assert trained.code == 0
    assert trained.err.startswith("skipped: val/bee/0.jpg: ")
    evaluated = command("eval", out / "model.safetensors", "--data", root, "--workers", 0)
    assert evaluated.code == 1
    assert f"skipped: {root}/val/bee/0.jpg: " in evaluated.err
    assert "on 5 images" in evaluated.out


def test_options_that_do_not_go_with_the_data(command, root: Path, tmp_path: Path) -> None:
    (tmp_path / "train-labels-idx1-ubyte").touch()
    result = command("train", "--data", tmp_path, "--image-size", 64)
    assert result.code == 1
    assert (
        "images must be None unless the dataset is a folder, got dataset 'translated-mnist'"
        in result.err
    )
    result = command("train", "--data", root, "--noise-std", 0.2, "--auto-augment", "none")
    assert (result.code, "--noise-std must be None" in result.err) == (1, True)
    (tmp_path / "empty").mkdir()
    result = command("train", "--data", tmp_path / "empty")
    assert "--data must hold MNIST's four *-ubyte files, or train/ and val/" in result.err


@pytest.mark.parametrize("installed", [True, False])
def test_training_says_which_autoaugment_it_took(
    command, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """The default works on a plain install: AutoAugment is left out, and the run says so."""
    if not installed:
        monkeypatch.setattr(auto_augment, "_BUILDERS", {})
    library = choose_auto_augment()
    if installed and library == "none":
        pytest.skip("neither torchvision nor kornia is installed")
    result = command(
        "train", "--data", root, "--model", "mgnet_toy", "--out", tmp_path / "run", "--epochs", 1,
        "--batch-size", 24, "--image-size", 32, "--threads", 1, "--no-tensorboard",
    )  # fmt: skip
    assert result.code == 0
    how = f"AutoAugment by {library}"
    if not installed:
        how = (
            "no AutoAugment (neither torchvision nor kornia is installed; "
            "pip install 'mgnet-fast[augment]' adds it)"
        )
    assert f"24 images of 3 classes, 32 px, {how}, " in " ".join(result.err.split())


def test_somebodys_backbone_learns_other_classes(command, root: Path, tmp_path: Path) -> None:
    state = create_backbone("toy", in_chans=1).state_dict() | {"fc.weight": torch.zeros(1000, 128)}
    torch.save({"state_dict": state}, tmp_path / "toy.pth")
    out = tmp_path / "run"
    words = ("train", "--data", root, "--backbone", "toy", "--backbone-weights")
    numbers = ("--recipe", "fine-tune", "--epochs", 1, "--batch-size", 8, "--frozen-epochs", 1)

    refused = command(*words, tmp_path / "toy.pth", "--out", out, *numbers, *SMALL, *QUIET)
    assert refused.code == 1
    assert "--backbone-weights needs --mean and --std" in refused.err
    assert not out.exists()

    colours = ("--mean", "0.4", "--std", "0.2", "--layer-decay", 0.5)
    trained = command(
        *words, tmp_path / "toy.pth", "--out", out, *numbers, *colours, *SMALL, *QUIET
    )
    assert trained.code == 0, trained.err
    model = load_checkpoint(out / "model.safetensors")
    assert (model.config.num_classes, model.config.mean, model.config.std) == (3, (0.4,), (0.2,))
    for name, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, state[name])  # frozen
    row = json.loads((out / "log.jsonl").read_text().splitlines()[0])
    assert row["backbone_weights"] == file_fingerprint(tmp_path / "toy.pth")
    assert (row["smallest_crop"], row["recipe"]["layer_decay"]) == (0.35, 0.5)


def test_what_cannot_stand_together_is_refused(command, root: Path, tmp_path: Path) -> None:
    both = command("train", "--data", root, "--backbone", "toy", "--model", "mgnet_toy")
    assert (both.code, "not both" in both.err) == (2, True)
    words = command("train", "--data", root, "--mean", "a,b,c")
    assert (words.code, "wanted numbers separated by commas" in words.err) == (2, True)
    files = ("--weights", tmp_path / "a", "--backbone-weights", tmp_path / "b")
    starts = command("train", "--data", root, "--out", tmp_path / "run", *files)
    assert "--weights must be left out with --backbone-weights" in starts.err
