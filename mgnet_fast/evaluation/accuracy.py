"""Accuracy after each glimpse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from mgnet_fast.data.labelled_images import LabelledImages, epoch_batches
from mgnet_fast.models import MGNet
from mgnet_fast.models.borders import is_at_the_border

TOP5_ABOVE = 10  # classes; with fewer, five guesses say little


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
        correct_top5: scenes whose class is among the five most likely, after each glimpse; None
            with ten classes or fewer.
        at_the_border: share of the scenes whose region of each glimpse ends at an edge of the
            image, see :func:`mgnet_fast.models.borders.is_at_the_border`.
    """

    correct: tuple[int, ...]
    count: int
    mean_scale: tuple[float, ...]
    confidence: float = 0.95
    correct_top5: tuple[int, ...] | None = None
    at_the_border: tuple[float, ...] = ()

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Share of right answers in [0, 1] after each glimpse."""
        return tuple(correct / self.count for correct in self.correct)

    @property
    def interval(self) -> tuple[tuple[float, float], ...]:
        """Wilson's interval of each accuracy."""
        return self._intervals(self.correct)

    @property
    def top5(self) -> tuple[float, ...] | None:
        """Share of scenes whose class is among the five most likely, after each glimpse."""
        if self.correct_top5 is None:
            return None
        return tuple(correct / self.count for correct in self.correct_top5)

    @property
    def top5_interval(self) -> tuple[tuple[float, float], ...] | None:
        """Wilson's interval of each `top5`."""
        return None if self.correct_top5 is None else self._intervals(self.correct_top5)

    def _intervals(self, correct: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
        return tuple(wilson_interval(each, self.count, self.confidence) for each in correct)

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "count": self.count,
            "correct": list(self.correct),
            "accuracy": list(self.accuracy),
            "confidence": self.confidence,
            "interval": [list(pair) for pair in self.interval],
            "mean_scale": list(self.mean_scale),
            "at_the_border": list(self.at_the_border),
        }
        if self.top5 is not None and self.top5_interval is not None:
            found["top5"] = list(self.top5)
            found["top5_interval"] = [list(pair) for pair in self.top5_interval]
        return found


@torch.no_grad()
def evaluate(
    model: MGNet,
    scenes: LabelledImages,
    *,
    batch_size: int = 500,
    num_glimpses: int | None = None,
    device: torch.device | str | None = None,
    epoch: int = 0,
    confidence: float = 0.95,
    rank: int = 0,
    world_size: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """Runs every scene through the network and counts right answers after each glimpse.

    The model is left in the mode (training or not) in which it was given.

    Args:
        model: on ``device`` already, or moved there if one is given.
        scenes: what to classify. Images that it leaves out are not counted.
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
    batches = epoch_batches(len(scenes), batch_size)
    mine = range(rank, len(batches), world_size)
    # A row a batch, so that sums over all batches do not depend on who computed which.
    correct = torch.zeros(2, len(batches), steps, dtype=torch.int64, device=target)
    scale = torch.zeros(len(batches), steps, dtype=torch.float64, device=target)
    border = torch.zeros(len(batches), steps, dtype=torch.int64, device=target)
    counts = torch.zeros(len(batches), dtype=torch.int64, device=target)
    loaded = scenes.load([batches[at] for at in mine], epoch)
    try:
        for batch, (images, labels) in zip(mine, loaded, strict=True):
            if len(labels) == 0:
                continue
            output = model(images.to(target), num_glimpses=num_glimpses)
            correct[:, batch] = _hits(output["n_logit"], labels.to(target))
            scale[batch] = output["n_affparam"][:, :, 0].double().sum(1)
            border[batch] = is_at_the_border(output["n_affparam"]).sum(1)
            counts[batch] = len(labels)
            if progress is not None:
                progress(int(counts.sum()))
    finally:
        model.train(was_training)
    if world_size > 1:
        for counted in (correct, scale, border, counts):
            torch.distributed.all_reduce(counted)
    count = int(counts.sum())
    if count == 0:
        raise ValueError(f"scenes must hold an image that can be read, got {len(scenes)} of none")
    first, top5 = (tuple(sums) for sums in correct.sum(1).tolist())
    return Accuracy(
        correct=first,
        count=count,
        mean_scale=tuple((scale.sum(0) / count).tolist()),
        confidence=confidence,
        correct_top5=top5 if model.config.num_classes > TOP5_ABOVE else None,
        at_the_border=tuple((border.sum(0) / count).tolist()),
    )


def _hits(logits: Tensor, labels: Tensor) -> Tensor:
    """int64 [2, T]: images whose class is the likeliest one, and among the five likeliest."""
    best = logits.topk(min(5, logits.shape[2]), dim=2).indices == labels[:, None]
    return torch.stack([(logits.argmax(2) == labels).sum(1), best.any(2).sum(1)])


def check_fit(model: MGNet, scenes: LabelledImages) -> None:
    """Raises ValueError where the model's channels or classes are not those of the scenes."""
    config = model.config
    for name, wanted in (("in_chans", scenes.channels), ("num_classes", scenes.num_classes)):
        got = getattr(config, name)
        if got != wanted:
            raise ValueError(f"model must have {name} = {wanted} for these scenes, got {got}")
