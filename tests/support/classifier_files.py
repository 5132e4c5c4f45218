"""Names and shapes of the ResNets of torchvision and timm, written down from their files."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "wide_resnet50_2": (3, 4, 6, 3)}


def resnet_state(name: str, classes: int = 1000, *, counters: bool = True) -> dict[str, Tensor]:
    """A state dict with another number in every tensor; each takes the memory of one number.

    ``counters``: with batch norm's, which the oldest files of torchvision lack.
    """
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}

    def norm(at: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{at}.{part}"] = (width,)
        if counters:
            shapes[f"{at}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for stage, count in enumerate(BLOCKS[name], start=1):
        width = 32 * 2**stage
        inner = 2 * width if name.startswith("wide") else width
        for block in range(count):
            at = f"layer{stage}.{block}"
            if name == "resnet18":
                after, steps = width, ((3, before, width), (3, width, width))
            else:
                after = 4 * width
                steps = ((1, before, inner), (3, inner, inner), (1, inner, after))
            for number, (side, inputs, outputs) in enumerate(steps, start=1):
                shapes[f"{at}.conv{number}.weight"] = (outputs, inputs, side, side)
                norm(f"{at}.bn{number}", outputs)
            if block == 0 and before != after:
                shapes[f"{at}.downsample.0.weight"] = (after, before, 1, 1)
                norm(f"{at}.downsample.1", after)
            before = after
    shapes |= {"fc.weight": (classes, before), "fc.bias": (classes,)}
    return {
        each: torch.tensor(number if shape == () else number / 1000).expand(shape)
        for number, (each, shape) in enumerate(shapes.items(), start=1)
    }
