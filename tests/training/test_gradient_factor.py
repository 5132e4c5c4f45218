"""The factor on the localization gradient: warm-up, the adaptive rule, what it costs if unused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mgnet_fast.data import TranslatedMNIST
from mgnet_fast.models import MGNet
from mgnet_fast.training import Recipe, Trainer
from mgnet_fast.training.gradient_factor import LEAST, MEASURED_EVERY, GradientFactor
from mgnet_fast.training.run.progress import Progress
from mgnet_fast.training.run.snapshot import read_snapshot


@pytest.fixture
def new_trainer(
    train_scenes: TranslatedMNIST,
    test_scenes: TranslatedMNIST,
    recipe: Recipe,
    new_model: Callable[..., MGNet],
) -> Callable[..., Trainer]:
    def new(seed: int = 0, num_glimpses: int = 3, **changes: object) -> Trainer:
        chosen = replace(recipe, **changes)  # type: ignore[arg-type]
        model = new_model(seed, gradient_scale=chosen.gradient_scale, num_glimpses=num_glimpses)
        return Trainer(model, train_scenes, test_scenes, chosen)

    return new


def gradient(trainer: Trainer, scenes: TranslatedMNIST) -> list[torch.Tensor]:
    images, labels = next(scenes.batches(16))
    trainer._gradient(images, labels)
    return [p.grad.clone() for p in trainer.model.parameters() if p.grad is not None]


def test_unused_it_adds_nothing_to_the_network(new_trainer: Callable[..., Trainer]) -> None:
    trainer = new_trainer()
    trainer.factor.apply(7)
    assert not trainer.factor.is_moving
    assert trainer.model.loc_network.gradient_factor is None
    moving = new_trainer(gradient_scale_warmup=0.5)
    assert moving.model.state_dict().keys() == trainer.model.state_dict().keys()


def test_the_tensor_factor_is_the_constant_one(
    new_trainer: Callable[..., Trainer], train_scenes: TranslatedMNIST
) -> None:
    """Half the factor as a tensor gives the gradient of a network with half the factor."""
    moving = new_trainer(gradient_scale=0.5, gradient_scale_warmup=1.0)
    moving.factor.apply(moving.total_steps // 2)
    share = moving.factor.value
    assert 0.2 < share < 0.3
    constant = new_trainer(gradient_scale=share)
    for a, b in zip(gradient(moving, train_scenes), gradient(constant, train_scenes), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_warm_up_rises_to_the_factor_and_stays(new_trainer: Callable[..., Trainer]) -> None:
    factor = new_trainer(gradient_scale=0.2, gradient_scale_warmup=0.5).factor
    seen = []
    for step in range(18):  # 3 epochs of 6 steps
        factor.apply(step)
        seen.append(factor.value)
    assert seen[0] == 0.0
    assert seen == sorted(seen)
    assert seen[9:] == pytest.approx([0.2] * 9)


def test_cut_stops_the_way_through_the_regions(
    new_trainer: Callable[..., Trainer], train_scenes: TranslatedMNIST
) -> None:
    trainer = new_trainer(adaptive_gradient_share=0.3, size_weight=0.0)
    trainer.factor.apply(1)
    with trainer.factor.cut():
        gradient(trainer, train_scenes)
        assert not trainer.model.loc_network.fc.weight.grad.any()
    gradient(trainer, train_scenes)
    assert trainer.model.loc_network.fc.weight.grad.any()


def test_the_adaptive_factor_reaches_the_wanted_share(
    new_trainer: Callable[..., Trainer], train_scenes: TranslatedMNIST
) -> None:
    """Measured again and again at the same weights, the parts settle at the stated ratio."""
    trainer = new_trainer(gradient_scale=0.02, adaptive_gradient_share=0.05)
    images, labels = next(train_scenes.batches(16))
    factor = trainer.factor
    for _ in range(12):
        factor.apply(0)
        with factor.cut():
            trainer._gradient(images, labels)
        classes = factor.shared_gradient()
        trainer._gradient(images, labels)
        factor.follow(classes)
    factor.apply(0)
    trainer._gradient(images, labels)
    regions = torch._foreach_sub(factor.shared_gradient(), classes)
    ratio = torch.cat([g.flatten() for g in regions]).norm()
    ratio /= torch.cat([g.flatten() for g in classes]).norm()
    assert LEAST < factor.value < 1
    assert float(ratio) == pytest.approx(0.05, rel=0.05)


def test_it_is_measured_every_tenth_step_only(new_trainer: Callable[..., Trainer]) -> None:
    factor = new_trainer(adaptive_gradient_share=0.3).factor
    measured = []
    for step in range(2 * MEASURED_EVERY):
        factor.apply(step)
        measured.append(factor.is_measured)
    assert [step for step, is_so in enumerate(measured) if is_so] == [0, MEASURED_EVERY]


def test_a_network_that_looks_once_has_no_factor(new_trainer: Callable[..., Trainer]) -> None:
    trainer = new_trainer(num_glimpses=1, adaptive_gradient_share=0.3)
    trainer.factor.apply(0)
    assert not trainer.factor.is_measured
    assert not trainer.factor.is_moving


@pytest.mark.parametrize(
    "changes",
    [
        {"adaptive_gradient_share": 0.3, "gradient_scale_warmup": 0.2},
        {"optimizer": "adamw", "peak_lr": 1e-3, "gradient_clip": 1.0},
    ],
)
def test_every_option_resumes_bit_for_bit(
    new_trainer: Callable[..., Trainer], tmp_path: Path, changes: dict[str, object]
) -> None:
    whole = new_trainer(epochs=2, **changes)
    for _ in whole.fit(tmp_path, None, Progress(1, enabled=False), {}):
        if whole.epochs_done == 1:
            state = read_snapshot(tmp_path)
    resumed = new_trainer(seed=3, epochs=2, **changes)
    resumed.load_state(state)
    list(resumed.fit(tmp_path, None, Progress(1, enabled=False), {}))
    assert resumed.factor.adapted == whole.factor.adapted
    for a, b in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_clipped_gradient_is_no_longer_than_said(
    new_trainer: Callable[..., Trainer], train_scenes: TranslatedMNIST
) -> None:
    trainer = new_trainer(gradient_clip=1e-3)
    images, labels = next(train_scenes.batches(16))
    trainer.step(images, labels)
    parts = [p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]
    assert float(torch.cat(parts).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_adamw_follows_the_schedule(new_trainer: Callable[..., Trainer]) -> None:
    trainer = new_trainer(optimizer="adamw", peak_lr=1e-3)
    trainer.schedule.apply(trainer.optimizer, 2)
    (group,) = trainer.optimizer.param_groups
    assert (group["lr"], group["betas"][0]) == trainer.schedule.at(2)
    assert isinstance(trainer.optimizer, torch.optim.AdamW)


def test_the_moving_factor_is_in_the_log(
    new_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    trainer = new_trainer(epochs=1, adaptive_gradient_share=0.3)
    (report,) = trainer.fit(tmp_path, None, Progress(1, enabled=False), {})
    assert report.to_row()["gradient_factor"] == pytest.approx(trainer.factor.value, rel=1e-5)


def test_what_it_computes_with_is_a_gradient_factor(new_model: Callable[..., MGNet]) -> None:
    factor = GradientFactor(new_model(), Recipe(epochs=1), 10)
    assert factor.value == 0.02
