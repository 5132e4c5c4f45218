"""Runs on folders of images: exact resuming, two processes as one, errors before the first step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.image_trees import CLASSES, damage, write_tiny_imagenet, write_tree

from mgnet_fast.data import TranslatedMNIST
from mgnet_fast.data.folders import auto_augment
from mgnet_fast.models import MGNet
from mgnet_fast.models.files.checkpoints import load_checkpoint
from mgnet_fast.models.files.trained_on import TrainedOn, read_trained_on
from mgnet_fast.training import ImageOptions, Recipe, RunSummary, Trainer, run
from mgnet_fast.training.run import launch
from mgnet_fast.training.run.image_presets import PRESETS
from mgnet_fast.training.run.log import read_log

RECIPE = Recipe(
    epochs=2, batch_size=8, peak_lr=0.02, gradient_scale=None, size_weight=0.0, average_decay=0.5
)
IMAGES = ImageOptions(image_size=32, glimpse_size=20, auto_augment="none", workers=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("images"))


def start(root: Path, out: Path, **changes: Any) -> RunSummary:
    options: dict[str, Any] = {
        "model": "mgnet_toy",
        "recipe": RECIPE,
        "images": IMAGES,
        "threads": 1,
    }
    return run(data_dir=root, out=out, progress=False, tensorboard=False, **(options | changes))


@pytest.fixture(scope="module")
def finished(root: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    return start(root, tmp_path_factory.mktemp("run") / "out")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "model.safetensors").state_dict()


def test_checkpoint_and_log_say_what_it_was_trained_on(finished: RunSummary) -> None:
    model = load_checkpoint(finished.checkpoint)
    assert (model.config.num_classes, model.config.glimpse_size) == (3, 20)
    assert read_trained_on(finished.checkpoint) == TrainedOn(CLASSES, 32, 37)
    row = read_log(finished.log)[0]
    assert (row["dataset"], row["images"]) == ("folder", {"train": 24, "val": 12})
    assert row["left_out"] == {"train": [], "val": []}
    assert row["recipe"]["gradient_scale"] == model.config.gradient_scale
    assert finished.accuracy.count == 12


def test_resuming_goes_on_with_the_same_numbers(
    root: Path, finished: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = []

    def stop(*arguments: Any) -> None:
        saved.append(arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(launch, "save_weights", stop)
        with pytest.raises(KeyboardInterrupt):
            start(root, tmp_path)
    assert len(saved) == 1
    with_workers = replace(IMAGES, workers=1)
    start(root, tmp_path, images=with_workers, resume=True)
    expected = weights(finished.checkpoint.parent)
    for name, weight in weights(tmp_path).items():
        assert torch.equal(weight, expected[name]), name


TWO = """
import sys
from mgnet_fast.data.folders import auto_augment
from mgnet_fast.training import ImageOptions, Recipe, run
run(data_dir=sys.argv[1], out=sys.argv[2], model="mgnet_toy", threads=1, progress=False,
    tensorboard=False,
    recipe=Recipe(epochs=2, batch_size=8, peak_lr=0.02, gradient_scale=None, size_weight=0.0,
                  average_decay=0.5),
    images=ImageOptions(image_size=32, glimpse_size=20, auto_augment="none", workers=1))
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_equal_one_and_share_the_check(root: Path, tmp_path: Path) -> None:
    broken = write_tree(tmp_path / "broken")
    for name in ("train/ape/2.png", "train/bee/3.png", "val/cat/1.jpg"):
        damage(broken / name)
    (tmp_path / "two.py").write_text(TWO)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "two.py", broken, tmp_path / "two"),
        ],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert len(lines) == 3
    assert lines[0].startswith("skipped: train/ape/2.png: ")
    one = start(broken, tmp_path / "one")
    assert one.accuracy.count == 11
    rows = [read_log(tmp_path / name / "log.jsonl")[0] for name in ("one", "two")]
    assert rows[0]["left_out"] == rows[1]["left_out"]
    expected = weights(tmp_path / "one")
    for name, weight in weights(tmp_path / "two").items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=2e-5, msg=name)


def test_too_many_unreadable_images_end_it_before_it_starts(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "images")
    for number in range(2):
        damage(root / "train" / "bee" / f"{number}.png")
    strict = replace(IMAGES, max_unreadable=1)
    with pytest.raises(ValueError, match=r"at most 1 unreadable .* got 2: .*train/bee/0.png \("):
        start(root, tmp_path / "out", images=strict)
    assert not (tmp_path / "out").exists()
    unchecked = replace(IMAGES, check=False)
    with pytest.raises(ValueError, match=r"at most 0 unreadable .*train/bee/.\.png \("):
        start(root, tmp_path / "unchecked", images=unchecked)


def lose_a_class(root: Path) -> None:
    (root / "val" / "cat").rename(root / "val" / "yak")


def empty_a_class(root: Path) -> None:
    for path in (root / "train" / "cat").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lose_a_class, {}, r"val must have the 3 classes .*1 missing \(cat\), 1 not .* \(yak\)"),
        (empty_a_class, {}, "train must have images of every class, got none in 1 of 3: cat"),
        (None, {"noise_std": 0.1}, "noise_std must be None for folders of images"),
        (None, {"recipe": "best"}, "preset must be one of|recipe must be one of"),
        (None, {"dataset": "translated-mnist", "images": None}, "lacks MNIST files"),
        (None, {"sync_batch_norm": True}, "SyncBatchNorm runs on GPUs only"),
        (None, {"images": ImageOptions(workers=-1)}, "workers must be at least 0, got -1"),
        (None, {"images": ImageOptions(preset="cifar")}, "preset must be one of imagenet100"),
        (None, {"images": ImageOptions(auto_augment="x")}, "auto_augment must be one of auto"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_step(
    tmp_path: Path, change: Any, options: dict[str, Any], message: str
) -> None:
    root = write_tree(tmp_path / "images")
    if change is not None:
        change(root)
    with pytest.raises(ValueError, match=message):
        start(root, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_resumed_on_other_images(finished: RunSummary, tmp_path: Path) -> None:
    other = write_tree(tmp_path, train=9)
    with pytest.raises(ValueError, match=r"these differ .*images: .*'train': 24.*'train': 27"):
        start(other, finished.checkpoint.parent, resume=True)


def test_recipes_of_folders_are_not_for_digits(tmp_path: Path) -> None:
    (tmp_path / "train-labels-idx1-ubyte").touch()
    with pytest.raises(ValueError, match="recipe 'imagenet100' is for folders of images"):
        run(data_dir=tmp_path, out=tmp_path / "out", recipe="imagenet100")


def test_tiny_imagenet_is_recognised(tmp_path: Path) -> None:
    root = write_tiny_imagenet(tmp_path / "tiny")
    images = ImageOptions(auto_augment="none", workers=0)
    run(
        data_dir=root, out=tmp_path / "out", model="mgnet_resnet18", recipe="default", epochs=1,
        batch_size=6, images=images, threads=1, progress=False, tensorboard=False,
    )  # fmt: skip
    row = read_log(tmp_path / "out" / "log.jsonl")[0]
    assert (row["image_size"], row["resize"], row["stem_pool"]) == (64, 64, False)
    config = load_checkpoint(tmp_path / "out" / "model.safetensors").config
    assert (config.num_glimpses, config.glimpse_size, config.stem_pool) == (3, 32, False)
    assert (row["recipe"]["peak_lr"], row["recipe"]["gradient_scale"]) == (0.1, 0.02)


def test_resuming_keeps_the_library_of_autoaugment(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = replace(IMAGES, auto_augment="auto")
    installed: dict[str, Any] = {}
    monkeypatch.setattr(auto_augment, "_BUILDERS", installed)
    start(root, tmp_path / "run", images=images, epochs=1)
    installed["torchvision"] = lambda: None  # installed since
    start(root, tmp_path / "run", images=images, epochs=1, resume=True)
    wanted = replace(IMAGES, auto_augment="torchvision")
    with pytest.raises(ValueError, match="auto_augment: none -> torchvision"):
        start(root, tmp_path / "run", images=wanted, epochs=1, resume=True)


def test_published_sizes_of_imagenet100() -> None:
    preset = PRESETS["imagenet100"]
    assert preset.transform(224, "none").resize == 256
    options = preset.model_options("mgnet_resnet50", 224, None, None)
    assert options == {"glimpse_size": 96, "num_glimpses": 4}
    assert preset.model_options("ffnet_resnet50", 224, None, None) == {}


def test_a_recipe_may_leave_the_gradient_scale_to_the_network(
    new_model: Callable[..., MGNet], train_scenes: TranslatedMNIST, test_scenes: TranslatedMNIST
) -> None:
    model = new_model(gradient_scale=0.3)
    trainer = Trainer(model, train_scenes, test_scenes, RECIPE)
    assert trainer.model.config.gradient_scale == 0.3
    with pytest.raises(ValueError, match=r"the recipe's gradient_scale = 0.02, got 0.3"):
        Trainer(model, train_scenes, test_scenes, replace(RECIPE, gradient_scale=0.02))
