"""What a training step holds in memory at most: ours, ours with checkpointing, the published way.

    python -m bench.training_memory

Bytes of all tensors alive at once beyond those alive before (parameters, images), counted as
operators make them and as they are freed: exact, and the same on every machine. Buffers inside a
library's kernel are not seen.
"""

from __future__ import annotations

import json
import sys
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from mgnet_fast import create_model
from mgnet_fast.models import MGNet, published_forward
from mgnet_fast.models.mgnet.objective import Objective

CASES = {
    "mgnet_toy, T = 3, batch 256": ("mgnet_toy", 3, 256, 112),
    "mgnet_resnet18, T = 4, batch 8": ("mgnet_resnet18", 4, 8, 224),
}


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that were made inside and are alive; ``peak`` is the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = {t.untyped_storage().data_ptr() for t in tree_iter(args) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        size, place = storage.nbytes(), storage.data_ptr()
        if size == 0 or place in self._known:
            return
        self._known.add(place)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, place, size)

    def _remove(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.now -= size


def peak_bytes(step: Callable[[], object]) -> int:
    """The most that ``step`` holds at once; run it once before, so that gradients exist."""
    step()
    with LiveBytes() as live:
        step()
    return live.peak


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
