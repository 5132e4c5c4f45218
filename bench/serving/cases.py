"""The networks under load, their images, and thresholds for two glimpses on average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.cpu.engine_cases import network, photos
from mgnet_fast import Confidence, Engine, MGNet, Never
from mgnet_fast.demo import load_model, load_scenes

IMAGES = 64


class Case(NamedTuple):
    """A network under load.

    Attributes:
        shares: of the images that leave after each glimpse, so that two are taken on average.
    """

    name: str
    shares: tuple[float, ...]

    def model(self) -> MGNet:
        """ResNet-18 has random weights, as no trained ones are shipped."""
        return load_model() if self.name == "mgnet_toy" else network(self.name)

    def pixels(self) -> np.ndarray:
        """uint8 [IMAGES, H, W, C]"""
        if self.name == "mgnet_toy":
            images = load_scenes().scenes(np.arange(IMAGES))
        else:
            images = (photos(IMAGES) * 64 + 128).clamp(0, 255).to(torch.uint8)
        return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


CASES = {
    case.name: case
    for case in (
        Case("mgnet_resnet18", (0.4, 0.3, 0.2, 0.1)),
        Case("mgnet_toy", (0.25, 0.5, 0.25)),
    )
}


def as_images(pixels: np.ndarray) -> Tensor:
    """[B, C, H, W], the same bytes."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def leaving_by_shares(engine: Engine, images: Tensor, shares: Sequence[float]) -> Confidence:
    """Thresholds by which these shares of ``images`` leave after each glimpse."""
    never = engine.with_exit(Never())
    confidence = never.logits_after_each(images).softmax(dim=-1).amax(dim=-1)
    staying = torch.ones(len(images), dtype=torch.bool)
    thresholds = []
    for row, share in zip(confidence[:-1], shares, strict=False):
        leaving = round(share * len(images))
        surest = row.masked_fill(~staying, -1).topk(leaving).values
        thresholds.append(float(surest[-1]))
        staying &= row < thresholds[-1]
    return Confidence(tuple(thresholds))
