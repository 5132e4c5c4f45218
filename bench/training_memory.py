"""What a training step holds in memory at most: ours, ours with checkpointing, the published way.

    python -m bench.training_memory

Bytes beyond those alive before (parameters, images), counted by
:mod:`mgnet_fast.evaluation.live_bytes`.
"""

from __future__ import annotations

import json
import sys

import torch
from torch import Tensor

from mgnet_fast import create_model
from mgnet_fast.evaluation.live_bytes import peak_bytes
from mgnet_fast.models import MGNet, published_forward
from mgnet_fast.models.mgnet.objective import Objective

CASES = {
    "mgnet_toy, T = 3, batch 256": ("mgnet_toy", 3, 256, 112),
    "mgnet_resnet18, T = 4, batch 8": ("mgnet_resnet18", 4, 8, 224),
}


def training_step(model: MGNet, images: Tensor, labels: Tensor, published: bool) -> None:
    objective = Objective(alpha=model.config.alpha, size_weight=1.0)
    output = published_forward(model, images) if published else model(images)
    model.zero_grad(set_to_none=True)
    objective(output, labels)["loss"].backward()  # type: ignore[no-untyped-call]


def _bytes_of(
    model: MGNet,
    images: Tensor,
    labels: Tensor,
    *,
    published: bool = False,
    checkpoint: bool = False,
) -> int:
    model.checkpoint_glimpses = checkpoint
    layout = torch.contiguous_format if published else torch.channels_last
    model.to(memory_format=layout)  # type: ignore[call-overload]
    return peak_bytes(lambda: training_step(model, images, labels, published))


def measured() -> dict[str, dict[str, int]]:
    found = {}
    for case, (name, steps, batch, side) in CASES.items():
        torch.manual_seed(0)
        model = create_model(name, num_classes=10, num_glimpses=steps).train()
        images = torch.randn(batch, model.config.in_chans, side, side)
        labels = torch.arange(batch) % 10
        found[case] = {
            "published": _bytes_of(model, images, labels, published=True),
            "ours": _bytes_of(model, images, labels),
            "ours, checkpointed": _bytes_of(model, images, labels, checkpoint=True),
        }
    return found


if __name__ == "__main__":
    json.dump(measured(), sys.stdout, indent=2)
    print()
