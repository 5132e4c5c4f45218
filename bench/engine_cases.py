"""The networks and images on which the engine is measured."""

from __future__ import annotations

import torch
from torch import Tensor

from mgnet_fast import MGNet, create_model


def network(name: str) -> MGNet:
    """Of 100 classes, with random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(name, num_classes=100).eval()


def photos(count: int, seed: int = 0) -> Tensor:
    """float32 [count, 3, 224, 224]."""
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


def slots_in_words(count: int) -> str:
    """How a case says how many images are in flight."""
    return "1 slot" if count == 1 else f"{count} slots"
