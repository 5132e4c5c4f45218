"""How far an exported network is from the eager float32 model, over a sample of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..models import MGNet
from .loop import Outputs, steps_first
from .tolerances import TOLERANCES, Tolerances


@dataclass(frozen=True)
class Parity:
    """Deviations over all images, glimpses, classes and coordinates of a sample.

    Attributes:
        images: how many were compared.
        largest_logit: of the eager model, in absolute value; the unit of ``logit_*``.
        logit_max, logit_mean: deviation of the logits, in units of ``largest_logit``.
        region_max, region_mean: deviation of (s, x, y).
        labels_changed: images whose last label differs.
        tolerances: what the maxima and the share of changed labels may be.
    """

    images: int
    largest_logit: float
    logit_max: float
    logit_mean: float
    region_max: float
    region_mean: float
    labels_changed: int
    tolerances: Tolerances = TOLERANCES["fp32"]

    @property
    def holds(self) -> bool:
        """Whether all three tolerances are met; never with NaN among the deviations."""
        return (
            self.logit_max <= self.tolerances.logit
            and self.region_max <= self.tolerances.region
            and self.labels_changed <= self.tolerances.label * self.images
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, with ``holds``, as plain values."""
        return asdict(self) | {"holds": self.holds}


@torch.inference_mode()
def measure_parity(
    run: Callable[[Tensor], Outputs],
    model: MGNet,
    batches: Iterable[Tensor],
    *,
    num_glimpses: int | None = None,
    tolerances: Tolerances = TOLERANCES["fp32"],
) -> Parity:
    """Runs both on every batch.

    Args:
        run: the exported network: images to (n_logit, regions, label), or to the same with the
            batch first.
        model: the eager float32 model, in evaluation mode.
        batches: as ``run`` takes them: float32 [B, C, H, W] or uint8 [B, H, W, C].
        num_glimpses: T that was exported.
        tolerances: what is allowed.

    Raises:
        ValueError: there are no images.
    """
    logit, region, largest, changed, images = [], [], 0.0, 0, 0
    for batch in batches:
        n_logit, regions, label = steps_first(run(batch))
        seen = batch.permute(0, 3, 1, 2) if batch.dtype == torch.uint8 else batch
        wanted = model(seen, num_glimpses=num_glimpses)
        wanted_logit = wanted["n_logit"][-len(n_logit) :]  # the last step's only, for servers
        logit.append((n_logit.double() - wanted_logit.double()).abs().flatten())
        region.append((regions.double() - wanted["n_affparam"].double()).abs().flatten())
        largest = max(largest, float(wanted["n_logit"].abs().max()))
        changed += int((label != wanted["n_logit"][-1].argmax(dim=-1)).sum())
        images += len(batch)
    if not images:
        raise ValueError("parity needs at least one image, got none")
    logits = torch.cat(logit) / largest
    regions_off = torch.cat(region)
    return Parity(
        images,
        largest,
        float(logits.max()),
        float(logits.mean()),
        float(regions_off.max()),
        float(regions_off.mean()),
        changed,
        tolerances,
    )
