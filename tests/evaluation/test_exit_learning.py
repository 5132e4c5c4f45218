"""Exit rules learned from a network's own mistakes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mgnet_fast import Engine, LearnedExit, Margin
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.evaluation import calibrate_exit, learn_exit

EASY, HOPEFUL, HOPELESS = range(3)
FIRST = torch.tensor([[9.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0.3, 0, 0]])  # class 0 is right
LATER = torch.tensor([[9.0, 0, 0, 0], [9.0, 0, 0, 0], [0, 0.3, 0, 0]])


class Looker:
    """Stands in for an engine: images are kinds, the second glimpse reads the hopeful ones."""

    def __init__(self, steps: int = 3) -> None:
        self.model = SimpleNamespace(config=SimpleNamespace(num_glimpses=steps))

    def logits_after_each(self, images: Tensor) -> Tensor:
        jitter = 0.02 * torch.randn(3, len(images), 4, generator=torch.Generator().manual_seed(0))
        return torch.stack([FIRST[images], LATER[images], LATER[images]]) + jitter


def batches(count: int = 1200) -> list[tuple[Tensor, Tensor]]:
    kinds = torch.arange(count) % 10
    images = torch.where(kinds == 0, HOPELESS, torch.where(kinds == 1, HOPEFUL, EASY))
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in images.split(500)]


def learned(engine: Any, loader: list[tuple[Tensor, Tensor]], **options: Any) -> LearnedExit:
    return learn_exit(engine, loader, **options)


def test_it_looks_on_only_where_that_helps() -> None:
    """The hopeful are more certain than the hopeless, so a bar on the confidence cannot do this."""
    before = torch.random.get_rng_state()
    rule = learned(Looker(), batches())
    assert torch.equal(torch.random.get_rng_state(), before)
    kinds = torch.tensor([EASY, HOPEFUL, HOPELESS])
    logits = torch.stack([FIRST[kinds], LATER[kinds]])
    gain = -rule.score(logits, torch.tensor([1, 2])[:, None].expand(2, 3))
    assert gain[0].tolist() == pytest.approx([0, 1, 0], abs=0.05)
    assert gain[1].tolist() == pytest.approx([0, 0, 0], abs=0.05)
    assert learned(Looker(), batches()) == rule
    assert learned(Looker(), batches(), seed=1) != rule


def test_fewer_glimpses_and_bad_numbers() -> None:
    assert learned(Looker(), batches(), max_glimpses=2).head.num_glimpses == 2
    with pytest.raises(ValueError, match=r"max_glimpses must be in 2\.\.3, got 4"):
        learned(Looker(), batches(), max_glimpses=4)
    with pytest.raises(ValueError, match=r"max_glimpses must be in 2\.\.1, got 1"):
        learned(Looker(1), batches())
    with pytest.raises(ValueError, match="at least 50 images, got 49"):
        learned(Looker(), batches(49))
    with pytest.raises(ValueError, match="hidden must be at least 1, got 0"):
        learned(Looker(), batches(), hidden=0)


def test_a_learned_rule_is_calibrated_like_others() -> None:
    engine = Engine(load_model(), slots=32, exit=Margin())
    scenes = load_scenes()
    images, labels = next(scenes.load([np.arange(len(scenes))]))
    rule = learn_exit(engine, [(images[:300], labels[:300])])
    found = calibrate_exit(
        engine, [(images[300:], labels[300:])], 1.3, unit="glimpses", rule=rule, rounds=0
    )
    for outcome in (found.outcome, found.outcome_by_glimpse):
        assert isinstance(outcome.rule, LearnedExit)
        assert outcome.rule.head == rule.head
        assert outcome.mean_glimpses <= 1.3
        taken = engine.with_exit(outcome.rule).predict(images[300:])
        mean = sum(each.glimpses for each in taken) / len(taken)
        assert mean == pytest.approx(outcome.mean_glimpses, abs=1e-6)
    assert found.outcome.accuracy > found.table[0].accuracy
