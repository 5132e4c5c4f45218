"""Compares an exported network with the eager float32 model on sample images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..engine.deviation import Deviation, DeviationSum
from ..models import GlimpseNetwork
from .graphs.loop import steps_first
from .graphs.network_loop import Outputs
from .tolerances import TOLERANCES, Tolerances


@dataclass(frozen=True)
class Parity(Deviation):
    """A deviation with its tolerances.

    Attributes:
        tolerances: bounds of the maxima and of the share of changed labels.
        attention_max: largest difference of the weights of attention maps, in units of the largest
            weight of the map; its bound is that of the logits. None for networks without such maps.
    """

    tolerances: Tolerances = TOLERANCES["fp32"]
    attention_max: float | None = None

    @property
    def holds(self) -> bool:
        """Whether all tolerances are met; never if a deviation is NaN."""
        return (
            self.logit_max <= self.tolerances.logit
            and (self.attention_max is None or self.attention_max <= self.tolerances.logit)
            and self.region_max <= self.tolerances.region
            and self.labels_changed <= self.tolerances.label * self.images
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, including ``holds``, as plain values."""
        return asdict(self) | {"holds": self.holds}


@torch.inference_mode()
def measure_parity(
    run: Callable[[Tensor], Outputs],
    model: GlimpseNetwork,
    batches: Iterable[Tensor],
    *,
    num_glimpses: int | None = None,
    tolerances: Tolerances = TOLERANCES["fp32"],
) -> Parity:
    """Run both on every batch.

    Args:
        run: the exported network; maps images to (n_logit, regions, label) and the attention
            maps, or to the same with the batch first.
        model: the eager float32 model, in evaluation mode.
        batches: in the form ``run`` takes: float32 [B, C, H, W] or uint8 [B, H, W, C].
        num_glimpses: the exported T.
        tolerances: the allowed deviations.

    Raises:
        ValueError: there are no images.
    """
    total, of_attention = DeviationSum(), []
    for batch in batches:
        n_logit, regions, label, *attention = steps_first(run(batch))
        seen = batch.permute(0, 3, 1, 2) if batch.dtype == torch.uint8 else batch
        wanted = model(seen, num_glimpses=num_glimpses)
        total.add(n_logit, regions, wanted["n_logit"], wanted["n_affparam"], label)
        for found, exact in zip(attention, wanted.get("attention", []), strict=True):
            of_attention.append((found - exact).abs().max() / exact.max())
    return Parity(
        **asdict(total.result()),
        tolerances=tolerances,
        attention_max=float(torch.stack(of_attention).max()) if of_attention else None,
    )
