"""How far results differ from the eager float32 network on a sample of images."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models import GlimpseNetwork
from .runners.runner import Runner
from .schedule.every_glimpse import every_glimpse


@dataclass(frozen=True)
class Deviation:
    """Differences over all images, glimpses, classes and coordinates of a sample.

    Attributes:
        images: number of images compared.
        largest_logit: largest absolute logit of the float32 network, the unit of ``logit_*``.
        logit_max, logit_mean: difference of the logits, in units of ``largest_logit``.
        region_max, region_mean: difference of (s, x, y).
        labels_changed: number of images whose final label differs.
    """

    images: int
    largest_logit: float
    logit_max: float
    logit_mean: float
    region_max: float
    region_mean: float
    labels_changed: int

    def __str__(self) -> str:
        images = "1 image" if self.images == 1 else f"{self.images} images"
        labels = "1 label" if self.labels_changed == 1 else f"{self.labels_changed} labels"
        return (
            f"over {images}, {labels} changed ({100 * self.labels_changed / self.images:.2g} %); "
            f"logits differ by {100 * self.logit_mean:.2g} % of the largest on average, "
            f"{100 * self.logit_max:.2g} % at most, regions by "
            f"{self.region_mean:.2g} on average, {self.region_max:.2g} at most"
        )


class DeviationSum:
    """Accumulates a :class:`Deviation` batch by batch."""

    def __init__(self) -> None:
        self._images = 0
        self._largest = 0.0
        self._logits = _Differences()
        self._regions = _Differences()
        self._changed = 0

    def add(
        self,
        logits: Tensor,
        regions: Tensor,
        wanted_logits: Tensor,
        wanted_regions: Tensor,
        labels: Tensor | None = None,
    ) -> None:
        """Add logits [T, B, K] and regions [T, B, 3] of some images.

        ``logits`` may hold only the last steps. ``labels`` [B] are the labels found, if they are
        not those of the last logits.
        """
        found = logits[-1].argmax(-1) if labels is None else labels
        self._logits.add(logits, wanted_logits[-len(logits) :])
        self._regions.add(regions, wanted_regions)
        self._largest = max(self._largest, float(wanted_logits.abs().max()))
        self._changed += int((found != wanted_logits[-1].argmax(-1)).sum())
        self._images += logits.shape[1]

    def result(self) -> Deviation:
        """The deviation over everything added.

        Raises:
            ValueError: there were no images.
        """
        if not self._images:
            raise ValueError("a deviation needs at least one image, got none")
        largest = self._largest or 1.0
        return Deviation(
            self._images,
            self._largest,
            self._logits.largest / largest,
            self._logits.mean() / largest,
            self._regions.largest,
            self._regions.mean(),
            self._changed,
        )


class _Differences:
    """The largest and the mean absolute difference; both NaN after any NaN."""

    def __init__(self) -> None:
        self.largest = 0.0
        self._sum = 0.0
        self._count = 0

    def add(self, found: Tensor, wanted: Tensor) -> None:
        off = (found.double() - wanted.double()).abs()
        self.largest = float(torch.maximum(off.max(), off.new_tensor(self.largest)))
        self._sum += float(off.sum())
        self._count += off.numel()

    def mean(self) -> float:
        return self._sum / self._count


def measure_deviation(
    runner: Runner, model: GlimpseNetwork, batches: Iterable[Tensor], slots: int
) -> Deviation:
    """Compare ``runner`` with ``model`` in float32, both on the runner's device.

    Args:
        runner: the runner to measure.
        model: the network it was built from.
        batches: images [B, C, H, W].
        slots: number of images in flight.

    Raises:
        ValueError: there are no images.
    """
    exact = copy.deepcopy(model).float().eval().to(runner.device)
    total = DeviationSum()
    for batch in batches:
        for images in batch.split(slots):
            logits, regions = every_glimpse(runner, images, slots)
            with torch.inference_mode():
                wanted = exact(images.to(runner.device))
            total.add(logits, regions, wanted["n_logit"].cpu(), wanted["n_affparam"].cpu())
    return total.result()
