"""The networks and images on which the engine is measured."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast import Confidence, Engine, MGNet, create_model


def network(name: str) -> MGNet:
    """Of 100 classes, with random weights, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(name, num_classes=100).eval()


def photos(count: int, seed: int = 0) -> Tensor:
    """float32 [count, 3, 224, 224], random and smooth.

    On white noise a change of the last bit in a region changes a glimpse, and the network with it,
    so that any two ways to compute it disagree after four glimpses (by 8e-3 of the largest logit
    for ResNet-50; the engine is nearer to float64 than the published algorithm in float32).
    """
    coarse = torch.randn(count, 3, 28, 28, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (224, 224), mode="bicubic", align_corners=False)


def slots_in_words(count: int) -> str:
    """How a case says how many images are in flight."""
    return "1 slot" if count == 1 else f"{count} slots"


def leaving_by_halves(engine: Engine, images: Tensor) -> Confidence:
    """Half of the images leave after each glimpse: thresholds at the medians of the confidence."""
    confidence = engine.logits_after_each(images).softmax(dim=-1).amax(dim=-1)
    thresholds, left = [], torch.ones(len(images), dtype=torch.bool)
    for row in confidence[:-1]:
        thresholds.append(float(row[left].median()))
        left &= row < thresholds[-1]
    return Confidence(tuple(thresholds))
