"""Accuracy under attack, after each step of the attack and each step of the network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mgnet_fast.data.digits.translated_mnist import TranslatedMNIST
from mgnet_fast.evaluation.accuracy import check_fit, wilson_interval
from mgnet_fast.evaluation.attack_settings import AttackSettings
from mgnet_fast.evaluation.attacks import attack_steps, worse_for_the_network
from mgnet_fast.evaluation.row_file import RowFile, fingerprint
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.network import evaluation_mode


@dataclass(frozen=True)
class Robustness:
    """How often a network is right under attack.

    Attributes:
        settings: of the attack.
        clean: number of right answers after each step of the network without an attack, [T].
        correct: the same after step k = 1..steps of the attack, [steps][T].
        count: number of images.
        confidence: level of the intervals.
    """

    settings: AttackSettings
    clean: tuple[int, ...]
    correct: tuple[tuple[int, ...], ...]
    count: int
    confidence: float = 0.95

    @property
    def by_steps(self) -> tuple[tuple[int, ...], ...]:
        """Right answers after 0 (no attack), 1, ... steps of the attack: [steps + 1][T]."""
        return (self.clean, *self.correct)

    def accuracy(self, steps: int, glimpse: int = -1) -> float:
        """Accuracy in [0, 1] after ``steps`` of the attack (0: clean); glimpses count from 0."""
        return self.by_steps[steps][glimpse] / self.count

    def interval(self, steps: int, glimpse: int = -1) -> tuple[float, float]:
        """Wilson interval of :meth:`accuracy`."""
        return wilson_interval(self.by_steps[steps][glimpse], self.count, self.confidence)

    def to_dict(self) -> dict[str, Any]:
        return {
            "settings": self.settings.to_dict(),
            "count": self.count,
            "correct_by_steps": [list(row) for row in self.by_steps],
            "accuracy_by_steps": [[c / self.count for c in row] for row in self.by_steps],
            "confidence": self.confidence,
            "interval_last_glimpse": [list(self.interval(k)) for k in range(len(self.by_steps))],
        }


def evaluate_attack(
    model: GlimpseNetwork,
    scenes: TranslatedMNIST,
    settings: AttackSettings,
    *,
    count: int | None = None,
    batch_size: int = 100,
    rows: Path | None = None,
    on_batch: Callable[[int], None] | None = None,
    confidence: float = 0.95,
) -> Robustness:
    """Attacks every scene and counts right answers after each step of the attack.

    With several restarts or gradient factors, the one that is worst for the network after k
    steps counts, image by image (see :func:`~mgnet_fast.evaluation.attacks.pgd`).

    Args:
        model: the network, on the device to run on.
        scenes: epoch 0 of these, the fixed test set, is attacked.
        settings: of the attack.
        count: attack only the first ``count`` scenes.
        batch_size: scenes per batch.
        rows: a file that keeps finished batches, so that an interrupted run can be resumed.
        on_batch: called with the number of scenes done, those of earlier runs included.
        confidence: level of the intervals, in (0, 1).

    Raises:
        TypeError: ``model`` is not a glimpse network.
        ValueError: scenes, count, batch_size or the file do not fit. Nothing has run then.
    """
    check_fit(model, scenes)
    count = len(scenes) if count is None else count
    if not 1 <= count <= len(scenes):
        raise ValueError(f"count must be in 1..{len(scenes)}, the number of scenes, got {count}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    described = {
        "settings": settings.to_dict(),
        "model": fingerprint(model),
        "scenes": {"seed": scenes.seed, "noise_std": scenes.noise_std, "digits": _digest(scenes)},
        "count": count,
        "batch_size": batch_size,
    }
    kept = RowFile(rows, described)
    done = {row["first"] for row in kept.rows}
    counted = sum(row["count"] for row in kept.rows)
    if on_batch is not None and counted:
        on_batch(counted)
    for first in range(0, count, batch_size):
        if first in done:
            continue
        indices = np.arange(first, min(first + batch_size, count))
        correct = _batch(model, scenes, settings, indices)
        kept.append({"first": first, "count": len(indices), "correct": correct.tolist()})
        counted += len(indices)
        if on_batch is not None:
            on_batch(counted)
    total = torch.tensor([row["correct"] for row in kept.rows]).sum(0).tolist()
    return Robustness(
        settings, tuple(total[0]), tuple(tuple(row) for row in total[1:]), count, confidence
    )


def _batch(
    model: GlimpseNetwork, scenes: TranslatedMNIST, settings: AttackSettings, indices: np.ndarray
) -> torch.Tensor:
    """Right answers [steps + 1, T]; row 0 is without an attack."""
    device = next(model.parameters()).device
    images = scenes.scenes(indices).to(device)
    labels = scenes.labels[torch.from_numpy(indices)].to(device)
    with evaluation_mode(model), torch.no_grad():
        worst = [model(images)["n_logit"]]
    first = int(indices[0])
    for way in range(settings.ways):
        with closing(
            attack_steps(model, images, labels, settings, way=way, first_index=first)
        ) as steps:
            for step, _, logits in steps:
                if step == 0:
                    continue
                if way == 0:
                    worst.append(logits)
                    continue
                chosen = worse_for_the_network(worst[step], logits, labels)
                worst[step] = torch.where(chosen[None, :, None], logits, worst[step])
    return (torch.stack(worst).argmax(3) == labels).sum(2).cpu()


def _digest(scenes: TranslatedMNIST) -> str:
    """A digest of the digits."""
    some = scenes.scenes(np.arange(min(len(scenes), 100)))
    digest = hashlib.sha256(some.numpy().tobytes())
    digest.update(scenes.labels.numpy().tobytes())
    return digest.hexdigest()[:16]
