"""Accuracy on corrupted images, by corruption, severity and step (paper, Table 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgnet_fast.data.corruptions import CORRUPTIONS, SEVERITIES, CorruptedImages, check_corruption
from mgnet_fast.data.labelled_images import LabelledImages
from mgnet_fast.evaluation.accuracy import check_fit, evaluate, wilson_interval
from mgnet_fast.evaluation.row_file import RowFile, fingerprint
from mgnet_fast.models import GlimpseNetwork

Part = tuple[str, int]


@dataclass(frozen=True)
class CorruptionAccuracy:
    """How often a network is right on corrupted images.

    Attributes:
        correct: for each (corruption, severity) the number of right answers after each step, [T].
        counts: for each (corruption, severity) the number of images.
    """

    correct: Mapping[Part, tuple[int, ...]]
    counts: Mapping[Part, int]

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The names of the corruptions, those of the paper's table first and in its order."""
        found = dict.fromkeys(name for name, _ in self.correct)
        known = [name for name in CORRUPTIONS if name in found]
        return (*known, *(name for name in found if name not in CORRUPTIONS))

    @property
    def num_glimpses(self) -> int:
        return len(next(iter(self.correct.values())))

    def accuracy(self, name: str, glimpse: int = -1, severity: int | None = None) -> float:
        """Accuracy in [0, 1] of a corruption, averaged over the severities unless one is given."""
        parts = [part for part in self.correct if part[0] == name and severity in (None, part[1])]
        return sum(self.correct[p][glimpse] / self.counts[p] for p in parts) / len(parts)

    def average(self, glimpse: int = -1) -> float:
        """Mean of :meth:`accuracy` over the corruptions."""
        shares = [self.accuracy(name, glimpse) for name in self.corruptions]
        return sum(shares) / len(shares)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each corruption, severity and step, with its Wilson interval."""
        found = []
        for (name, severity), correct in self.correct.items():
            count = self.counts[name, severity]
            for step, right in enumerate(correct):
                low, high = wilson_interval(right, count)
                found.append(
                    {
                        "corruption": name,
                        "severity": severity,
                        "glimpses": step + 1,
                        "accuracy": right / count,
                        "low": low,
                        "high": high,
                        "count": count,
                    }
                )
        return found


def corrupted_sets(
    images: LabelledImages,
    names: Sequence[str] = CORRUPTIONS,
    severities: Sequence[int] = SEVERITIES,
) -> dict[Part, LabelledImages]:
    """``images`` with each corruption at each severity, applied while loading.

    Raises:
        ValueError: a corruption or severity is unknown.
        ImportError: the library of corruptions is not installed.
    """
    for name in names:
        for severity in severities:
            check_corruption(name, severity)
    return {(n, s): CorruptedImages(images, n, s) for n in names for s in severities}


def evaluate_corruptions(
    model: GlimpseNetwork,
    sets: Mapping[Part, LabelledImages],
    *,
    batch_size: int = 100,
    rows: Path | None = None,
    described: Mapping[str, Any] | None = None,
    on_image: Callable[[Part, int], None] | None = None,
) -> CorruptionAccuracy:
    """Evaluates the network on every set after each step.

    Args:
        model: the network, on the device to run on.
        sets: labelled images by (corruption, severity): from :func:`corrupted_sets`, or from the
            folders of a prepared data set.
        batch_size: images per batch.
        rows: a file that keeps finished sets, so that an interrupted run can be resumed.
        described: plain values that describe the sets. A file with another description, of
            another network or with other numbers of images is refused.
        on_image: called with the set and the number of images of all sets that are done.

    Raises:
        TypeError: ``model`` is not a glimpse network.
        ValueError: there are no sets, they do not fit the network, or the file belongs to
            another run.
    """
    if not sets:
        raise ValueError("sets must hold at least one set of corrupted images, got none")
    for images in sets.values():
        check_fit(model, images)
    run = {
        "described": dict(described or {}),
        "model": fingerprint(model),
        "sets": [[*part, len(images)] for part, images in sets.items()],
    }
    kept = RowFile(rows, run)
    done = {(row["corruption"], row["severity"]) for row in kept.rows}
    counted = 0
    for part, images in sets.items():
        if part not in done:

            def progress(inside: int, part: Part = part, before: int = counted) -> None:
                if on_image is not None:
                    on_image(part, before + inside)

            found = evaluate(model, images, batch_size=batch_size, progress=progress)
            kept.append(
                {
                    "corruption": part[0],
                    "severity": part[1],
                    "count": found.count,
                    "correct": list(found.correct),
                }
            )
        counted += len(images)
        if on_image is not None:
            on_image(part, counted)
    by_part = {(row["corruption"], row["severity"]): row for row in kept.rows}
    return CorruptionAccuracy(
        {part: tuple(by_part[part]["correct"]) for part in sets},
        {part: by_part[part]["count"] for part in sets},
    )
