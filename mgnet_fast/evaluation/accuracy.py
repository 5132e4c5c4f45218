"""Accuracy after each step of a network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from mgnet_fast.data.labelled_images import LabelledImages, epoch_batches
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.network import check_network, evaluation_mode
from mgnet_fast.models.regions import is_at_the_border, region_scale

TOP5_ABOVE = 10  # classes; with ten or fewer, five guesses mean little


def wilson_interval(correct: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    r"""Wilson score interval of a proportion, here of the accuracy.

    With :math:`\hat p` = correct / count, n = count and z the normal quantile of ``confidence``:

    .. math:: \frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4 n^2}}
        {1 + z^2 / n}

    Unlike the normal approximation it stays inside [0, 1] and has a width at 0 % and 100 %.

    Args:
        correct: number of right answers, 0..count.
        count: number of answers, at least 1.
        confidence: level of the two-sided interval, in (0, 1).

    Returns:
        (low, high), in [0, 1].

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
    """How often a network is right after each of its T steps.

    A step is one glimpse, or several where a network takes several at once.

    Attributes:
        correct: number of right answers after each step.
        count: number of scenes.
        mean_scale: mean scale of the regions of each step (1 is the whole image), see
            :func:`mgnet_fast.models.regions.region_scale`.
        confidence: level of the intervals.
        correct_top5: number of scenes whose class is among the five most likely, after each
            step; None with ten classes or fewer.
        at_the_border: share of the regions of each step that reach an edge of the image, see
            :func:`mgnet_fast.models.regions.is_at_the_border`.
    """

    correct: tuple[int, ...]
    count: int
    mean_scale: tuple[float, ...]
    confidence: float = 0.95
    correct_top5: tuple[int, ...] | None = None
    at_the_border: tuple[float, ...] = ()

    @property
    def accuracy(self) -> tuple[float, ...]:
        """Share of right answers, in [0, 1], after each step."""
        return tuple(correct / self.count for correct in self.correct)

    @property
    def interval(self) -> tuple[tuple[float, float], ...]:
        """Wilson interval of each accuracy."""
        return self._intervals(self.correct)

    @property
    def top5(self) -> tuple[float, ...] | None:
        """Share of scenes whose class is among the five most likely, after each step."""
        if self.correct_top5 is None:
            return None
        return tuple(correct / self.count for correct in self.correct_top5)

    @property
    def top5_interval(self) -> tuple[tuple[float, float], ...] | None:
        """Wilson interval of each :attr:`top5`."""
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
    model: GlimpseNetwork,
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
    """Classifies every scene and counts right answers after each step.

    The network runs in evaluation mode; afterwards every module is in its mode of before.

    Args:
        model: the network. It is moved to ``device`` if one is given.
        scenes: labelled images. Images that cannot be read are left out of the count.
        batch_size: scenes per batch, at least 1. It changes the result by at most the rounding
            of the logits.
        num_glimpses: number of steps T. Default: the network's own.
        device: default: that of the network's parameters.
        epoch: which epoch of the scenes; the fixed test set is epoch 0.
        confidence: level of the intervals, in (0, 1).
        rank, world_size: this process and the number of processes of torch.distributed's default
            group that share the work. Each takes whole batches; all return what one process
            alone would return, bit for bit.
        progress: called with the number of scenes done.

    Raises:
        TypeError: ``model`` is not a glimpse network, or ``scenes`` are not labelled images.
        ValueError: there are no scenes, they do not fit the network's channels or classes, or
            ``batch_size`` or ``num_glimpses`` is out of range.
    """
    check_fit(model, scenes)
    if len(scenes) == 0:
        raise ValueError("scenes must hold at least one scene, got 0")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    if device is not None:
        model.to(device)
    target = next(model.parameters()).device
    steps = model.checked_steps(num_glimpses)
    looks = model.looks_within(steps)
    batches = epoch_batches(len(scenes), batch_size)
    mine = range(rank, len(batches), world_size)
    # One row per batch: the sums are then the same whichever process computed which batch.
    correct = torch.zeros(2, len(batches), steps, dtype=torch.int64, device=target)
    scale = torch.zeros(len(batches), steps, dtype=torch.float64, device=target)
    border = torch.zeros(len(batches), steps, dtype=torch.int64, device=target)
    counts = torch.zeros(len(batches), dtype=torch.int64, device=target)
    loaded = scenes.load([batches[at] for at in mine], epoch)
    with evaluation_mode(model):
        for batch, (images, labels) in zip(mine, loaded, strict=True):
            if len(labels) == 0:
                continue
            output = model(images.to(target), num_glimpses=num_glimpses)
            correct[:, batch] = _hits(output["n_logit"], labels.to(target))
            regions = output["n_affparam"]
            scale[batch] = _by_step(region_scale(regions).double().sum(1), looks)
            border[batch] = _by_step(is_at_the_border(regions).sum(1), looks)
            counts[batch] = len(labels)
            if progress is not None:
                progress(int(counts.sum()))
    if world_size > 1:
        for counted in (correct, scale, border, counts):
            torch.distributed.all_reduce(counted)
    count = int(counts.sum())
    if count == 0:
        raise ValueError(f"scenes must hold at least one readable image, got none of {len(scenes)}")
    seen = count * torch.tensor(looks, device=target)
    first, top5 = (tuple(sums) for sums in correct.sum(1).tolist())
    return Accuracy(
        correct=first,
        count=count,
        mean_scale=tuple((scale.sum(0) / seen).tolist()),
        confidence=confidence,
        correct_top5=top5 if model.config.num_classes > TOP5_ABOVE else None,
        at_the_border=tuple((border.sum(0) / seen).tolist()),
    )


def _by_step(values: Tensor, looks: tuple[int, ...]) -> Tensor:
    """Sums over the looks of each step: [sum of looks] to [T]."""
    return torch.stack([part.sum() for part in values.split(looks)])


def _hits(logits: Tensor, labels: Tensor) -> Tensor:
    """int64 [2, T]: images whose class is the most likely, and among the five most likely."""
    best = logits.topk(min(5, logits.shape[2]), dim=2).indices == labels[:, None]
    return torch.stack([(logits.argmax(2) == labels).sum(1), best.any(2).sum(1)])


def check_fit(model: GlimpseNetwork, scenes: LabelledImages) -> None:
    """Checks that a network can classify scenes.

    Raises:
        TypeError: ``model`` is not a glimpse network, or ``scenes`` are not labelled images.
        ValueError: their numbers of channels or classes differ.
    """
    check_network(model)
    if not hasattr(scenes, "load"):
        raise TypeError(
            f"scenes must be labelled images such as TranslatedMNIST, got {type(scenes).__name__}"
        )
    config = model.config
    for name, wanted in (("in_chans", scenes.channels), ("num_classes", scenes.num_classes)):
        got = getattr(config, name)
        if got != wanted:
            raise ValueError(f"model must have {name} = {wanted} for these scenes, got {got}")
