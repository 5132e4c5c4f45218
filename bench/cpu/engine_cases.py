"""The networks and images of the engine benchmarks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mgnet_fast import Confidence, Engine, MGNet, create_model


def network(name: str) -> MGNet:
    """A network of 100 classes with fixed random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(name, num_classes=100).eval()


def photos(count: int, seed: int = 0) -> Tensor:
    """float32 [count, 3, 224, 224], random and smooth.

    On white noise, a region that differs in its last bit gives another glimpse, so any two
    implementations disagree after four glimpses (by 8e-3 of the largest logit for ResNet-50, where
    the engine is closer to float64 than the published algorithm in float32).
    """
    coarse = torch.randn(count, 3, 28, 28, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (224, 224), mode="bicubic", align_corners=False)


def slots_in_words(count: int) -> str:
    """The number of images in flight, as a case names it."""
    return "1 slot" if count == 1 else f"{count} slots"


def leaving_by_halves(engine: Engine, images: Tensor) -> Confidence:
    """Thresholds at the median confidences: half of the images leave after each glimpse."""
    confidence = engine.logits_after_each(images).softmax(dim=-1).amax(dim=-1)
    thresholds, left = [], torch.ones(len(images), dtype=torch.bool)
    for row in confidence[:-1]:
        thresholds.append(float(row[left].median()))
        left &= row < thresholds[-1]
    return Confidence(tuple(thresholds))
