"""Accuracy after each glimpse."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from mgnet_fast.data.translated_mnist import TranslatedMNIST
from mgnet_fast.models import MGNet


def wilson_interval(correct: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, here of correct answers.

    Unlike the normal approximation it stays inside [0, 1] and is not empty at 0 % or 100 %.

    Args:
        correct: right answers, 0..count.
        count: answers, at least 1.
        confidence: of the two-sided interval, in (0, 1).

    Raises:
        ValueError: a number is out of range.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    if count < 1 or not 0 <= correct <= count:
        raise ValueError(f"wanted 0 <= correct <= count and count >= 1, got {correct} of {count}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = correct / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(centre - half, 0.0), min(centre + half, 1.0)


@dataclass(frozen=True)
class Accuracy:
    """What a network gets right after 1, 2, ... T glimpses.

    Attributes:
        correct: right answers after each glimpse.
        count: scenes.
        mean_scale: mean region scale s of each glimpse; the first is 1.
        confidence: of the intervals.
    """

    correct: tuple[int, ...]
    count: int
    mean_scale: tuple[float, ...]
    confidence: float = 0.95

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Share of right answers in [0, 1] after each glimpse."""
        return tuple(correct / self.count for correct in self.correct)

    @property
    def interval(self) -> tuple[tuple[float, float], ...]:
        """Wilson's interval of each accuracy."""
        return tuple(wilson_interval(c, self.count, self.confidence) for c in self.correct)

    def to_dict(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "correct": list(self.correct),
            "accuracy": list(self.accuracy),
            "confidence": self.confidence,
            "interval": [list(pair) for pair in self.interval],
            "mean_scale": list(self.mean_scale),
        }


@torch.no_grad()
def evaluate(
    model: MGNet,
    scenes: TranslatedMNIST,
    *,
    batch_size: int = 500,
    num_glimpses: int | None = None,
    device: torch.device | str | None = None,
    epoch: int = 0,
    confidence: float = 0.95,
    rank: int = 0,
    world_size: int = 1,
) -> Accuracy:
    """Runs every scene through the network and counts right answers after each glimpse.

    The model is left in the mode (training or not) in which it was given.

    Args:
        model: on ``device`` already, or moved there if one is given.
        scenes: what to classify.
        batch_size: scenes at a time, at least 1; the result does not depend on it but for the
            last bit of a logit.
        num_glimpses: T, default the model's own.
        device: default where the model's parameters are.
        epoch: of the scenes; the fixed test set is epoch 0.
        confidence: of the intervals.
        rank, world_size: of this process among those of torch.distributed's default group that
            share the work. Each takes whole batches, and all of them get the figures that one
            process alone would get, bit for bit.

    Raises:
        ValueError: there are no scenes, they do not fit the model's channels or classes, or
            batch_size < 1.
    """
    check_fit(model, scenes)
    if len(scenes) == 0:
        raise ValueError("scenes must hold at least one scene, got 0")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if device is not None:
        model.to(device)
    target = next(model.parameters()).device
    was_training = model.training
    model.eval()
    steps = model.config.num_glimpses if num_glimpses is None else num_glimpses
    starts = range(0, len(scenes), batch_size)
    # A row a batch, so that sums over all batches do not depend on who computed which.
    correct = torch.zeros(len(starts), steps, dtype=torch.int64, device=target)
    scale = torch.zeros(len(starts), steps, dtype=torch.float64, device=target)
    try:
        for batch in range(rank, len(starts), world_size):
            indices = np.arange(starts[batch], min(starts[batch] + batch_size, len(scenes)))
            output = model(scenes.scenes(indices, epoch).to(target), num_glimpses=num_glimpses)
            labels = scenes.labels[torch.from_numpy(indices)].to(target)
            correct[batch] = (output["n_logit"].argmax(2) == labels).sum(1)
            scale[batch] = output["n_affparam"][:, :, 0].double().sum(1)
    finally:
        model.train(was_training)
    if world_size > 1:
        torch.distributed.all_reduce(correct)
        torch.distributed.all_reduce(scale)
    mean_scale = (scale.sum(0) / len(scenes)).tolist()
    return Accuracy(tuple(correct.sum(0).tolist()), len(scenes), tuple(mean_scale), confidence)


def check_fit(model: MGNet, scenes: TranslatedMNIST) -> None:
    """Raises ValueError where the model's channels or classes are not those of the scenes."""
    config = model.config
    for name, wanted in (("in_chans", scenes.channels), ("num_classes", scenes.num_classes)):
        got = getattr(config, name)
        if got != wanted:
            raise ValueError(f"model must have {name} = {wanted} for these scenes, got {got}")
