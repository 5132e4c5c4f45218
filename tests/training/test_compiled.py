"""The training step of all glimpses as one compiled program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest
import torch
from torch._dynamo.utils import counters

from mgnet_fast.data import TranslatedMNIST
from mgnet_fast.models import MGNet
from mgnet_fast.ops.backends import choice as backends
from mgnet_fast.training import Recipe, Trainer


@pytest.fixture(autouse=True)
def nothing_compiled_before() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("extras", [False, True], ids=["plain", "checkpointed, moving factor"])
def test_one_program_for_forward_and_backward_and_all_steps(
    recipe: Recipe,
    new_model: Callable[..., MGNet],
    train_scenes: TranslatedMNIST,
    test_scenes: TranslatedMNIST,
    monkeypatch: pytest.MonkeyPatch,
    extras: bool,
) -> None:
    """Traced as for the real backend, forward and backward, but run without a C++ compiler.

    The backend of the glimpse is chosen while this traces, as in a fresh process.
    """
    monkeypatch.setattr(backends, "_first_choice", {})
    compiler = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compiler)
    if extras:
        recipe = Recipe(**{**recipe.to_dict(), "gradient_scale_warmup": 0.5})
    weights = []
    for compiled in (True, False):
        trainer = Trainer(
            new_model(), train_scenes, test_scenes, recipe,
            compiled=compiled, checkpoint_glimpses=extras and compiled,
        )  # fmt: skip
        for step, (images, labels) in enumerate(train_scenes.batches(16, drop_last=True)):
            trainer.schedule.apply(trainer.optimizer, step)
            trainer.factor.apply(step)
            trainer.step(images, labels)
        weights.append([p.detach() for p in trainer.model.parameters()])
    assert step == 5
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    for compiled_weight, weight in zip(*weights, strict=True):
        torch.testing.assert_close(compiled_weight, weight, rtol=1e-5, atol=1e-6)
