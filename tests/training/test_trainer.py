"""The loop: deterministic, resumable bit for bit, the same with either glimpse, and it learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mgnet_fast.data import TranslatedMNIST
from mgnet_fast.models import MGNet, MGNetConfig
from mgnet_fast.ops.backends import choice as backends
from mgnet_fast.training import Recipe, Trainer, TrainingDivergedError
from mgnet_fast.training.distributed import Workers
from mgnet_fast.training.run.log import RunLog
from mgnet_fast.training.run.progress import Progress
from mgnet_fast.training.run.snapshot import read_snapshot


@pytest.fixture
def new_trainer(
    train_scenes: TranslatedMNIST,
    test_scenes: TranslatedMNIST,
    recipe: Recipe,
    new_model: Callable[..., MGNet],
) -> Callable[..., Trainer]:
    def new(seed: int = 0, model: dict[str, Any] | None = None, **options: Any) -> Trainer:
        chosen = options.pop("recipe", recipe)
        network = new_model(seed, **(model or {}))
        return Trainer(network, train_scenes, test_scenes, chosen, **options)

    return new


def fit(trainer: Trainer, folder: Path, epochs: int = 1000) -> list[dict[str, float]]:
    log = RunLog(folder, epochs_done=trainer.epochs_done, tensorboard=False)
    reports = []
    for report in trainer.fit(folder, log, Progress(1, enabled=False), {}):
        reports.append(report.parts)
        if len(reports) == epochs:
            break
    return reports


def assert_same_weights(one: MGNet, other: MGNet) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_same_seed_same_weights_other_seed_others(
    new_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    one, two, other = new_trainer(), new_trainer(), new_trainer(seed=1)
    reports = [fit(trainer, tmp_path, epochs=1) for trainer in (one, two, other)]
    assert reports[0] == reports[1] != reports[2]
    assert_same_weights(one.model, two.model)


def test_resumes_bit_for_bit(new_trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    whole, interrupted = new_trainer(), new_trainer()
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    expected = fit(whole, tmp_path / "whole")
    reports = fit(interrupted, tmp_path / "parts", epochs=1)

    resumed = new_trainer(seed=5)  # other first weights: everything must come from the snapshot
    resumed.load_state(read_snapshot(tmp_path / "parts"))
    reports += fit(resumed, tmp_path / "parts")
    assert reports == expected
    assert_same_weights(resumed.model, whole.model)
    assert_same_weights(resumed.average.model, whole.average.model)
    assert resumed.average.steps == whole.average.steps
    momenta = zip(resumed.optimizer.state.values(), whole.optimizer.state.values(), strict=True)
    for a, b in momenta:
        assert torch.equal(a["momentum_buffer"], b["momentum_buffer"])


def test_weight_decay_is_on_everything(new_trainer: Callable[..., Trainer]) -> None:
    trainer = new_trainer()
    (group,) = trainer.optimizer.param_groups
    assert len(group["params"]) == len(list(trainer.model.parameters()))
    assert group["weight_decay"] == trainer.recipe.weight_decay


def waves(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Float images [count, 1, 112, 112] of a plane wave each, whose class is its direction."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 10
    angle = labels * math.pi / 10
    length = 0.15 + 0.1 * torch.rand(count, generator=generator)
    phase = 6.28 * torch.rand(count, generator=generator)
    at = torch.arange(112.0)
    rows = (length * angle.sin())[:, None, None] * at[:, None]
    columns = (length * angle.cos())[:, None, None] * at
    return torch.cos(rows + columns + phase[:, None, None])[:, None], labels


def smooth_network() -> MGNet:
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2),
        nn.Tanh(),
        nn.Conv2d(16, 32, 5, stride=2),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    config = MGNetConfig(
        num_classes=10, in_chans=1, num_glimpses=3, glimpse_size=28, gradient_scale=0.02
    )
    return MGNet(config, backbone, dim=32)


def test_fused_and_reference_glimpse_give_the_same_loss_curve(
    train_scenes: TranslatedMNIST, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Smooth images and a smooth backbone: the kinks of ReLU, of max-pools on a black background
    # and of digits' edges turn a last bit into another gradient, with any glimpse.
    recipe = Recipe(epochs=5, batch_size=16, gradient_scale=0.02, size_weight=1.0)
    images, labels = waves(96)
    curves = []
    for name in (backend, "reference"):
        monkeypatch.setattr(backends, "_requested_by_environment", name)
        trainer = Trainer(smooth_network(), train_scenes, train_scenes, recipe)
        losses = []
        for step in range(30):
            trainer.schedule.apply(trainer.optimizer, step)
            chosen = torch.arange(16 * step, 16 * step + 16) % 96
            losses.append(float(trainer.step(images[chosen], labels[chosen])[0]))
        curves.append(losses)
    fused, reference = curves
    assert reference[-1] < 0.9 * reference[0]  # a curve, not a line
    # A gradient to the region wrong by 0.1 % bends the curve by 1.5e-4, rounding by 1e-5.
    assert fused == pytest.approx(reference, rel=1e-4)


def test_learns_to_tell_patterns_apart(
    new_trainer: Callable[..., Trainer], train_scenes: TranslatedMNIST
) -> None:
    recipe = Recipe(epochs=10, batch_size=20, peak_lr=0.05, div_factor=2.0, size_weight=0.0)
    trainer = new_trainer(recipe=recipe)
    images, labels = next(train_scenes.batches(20))
    losses = []
    for step in range(50):
        trainer.schedule.apply(trainer.optimizer, step)
        losses.append(float(trainer.step(images, labels)[0]))
    assert losses[-1] < 0.75 * losses[0]


def test_bf16_autocast_is_used_and_stays_near(
    new_trainer: Callable[..., Trainer], train_scenes: TranslatedMNIST
) -> None:
    images, labels = next(train_scenes.batches(16))
    seen = []
    losses = []
    for precision in ("fp32", "bf16"):
        trainer = new_trainer(precision=precision)
        trainer.model.backbone.get_submodule("conv2").register_forward_hook(
            lambda module, args, out: seen.append(out.dtype)
        )
        losses.append(float(trainer.step(images, labels)[0]))
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    assert set(seen[:3]) == {torch.float32}
    assert set(seen[3:]) == {torch.bfloat16}
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("overrides", [{"num_glimpses": 1}, {"glimpse_loss": "paper"}])
def test_other_configurations_train(
    new_trainer: Callable[..., Trainer], tmp_path: Path, overrides: dict[str, Any]
) -> None:
    (parts,) = fit(new_trainer(model=overrides), tmp_path, epochs=1)
    assert (parts["glimpse"] > 0) == ("glimpse_loss" in overrides)


def test_divergence_is_an_error_that_says_so(
    new_trainer: Callable[..., Trainer], recipe: Recipe, tmp_path: Path
) -> None:
    trainer = new_trainer(recipe=replace(recipe, peak_lr=1e30))
    with pytest.raises(TrainingDivergedError, match=r"loss is (nan|inf) in epoch 1.*peak_lr"):
        fit(trainer, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {"in_chans": 3}}, "model must have in_chans = 1"),
        ({"model": {"num_classes": 7}}, "model must have num_classes = 10"),
        ({"model": {"alpha": 0.3}}, "model must have the recipe's alpha = 0.6, got 0.3"),
        ({"precision": "fp16"}, "precision must be fp32 or bf16, got 'fp16'"),
        ({"workers": Workers(0, 3)}, "batch_size must be a multiple of 3 processes, got 16"),
        ({"recipe": Recipe(epochs=1, batch_size=101)}, "batch_size must be at most the 100"),
    ],
)
def test_what_does_not_fit_is_refused(
    new_trainer: Callable[..., Trainer], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        new_trainer(**options)
