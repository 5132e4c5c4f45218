"""All glimpses of a batch of images, without early exit."""

from __future__ import annotations

import torch
from torch import Tensor

from ..prediction import taken_looks
from ..runners.runner import Runner, StepInput
from ..runners.stepwise import StepwiseRunner


@torch.inference_mode()
def every_glimpse(runner: Runner, images: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Class logits and regions of every glimpse, on the CPU.

    Args:
        runner: takes the glimpses.
        images: [B, C, H, W].
        slots: number of images in flight.

    Returns:
        Logits [T, B, K] and regions [sum of looks, B, 3 or 4], float32.
    """
    steps = runner.config.num_glimpses
    logits = torch.empty(steps, len(images), runner.num_classes)
    regions = torch.empty(steps, len(images), *runner.initial_regions(1).shape[1:])
    for start in range(0, len(images), slots):
        some = images[start : start + slots].to(runner.device)
        rows = slice(start, start + len(some))
        region, tokens = runner.initial_regions(len(some)), runner.new_tokens(len(some))
        length = torch.zeros(len(some), dtype=torch.int64, device=runner.device)
        for step in range(steps):
            length += 1
            regions[step, rows] = region.cpu()
            now, region = runner.step(StepInput(some, region, tokens, length))
            logits[step, rows] = now.cpu()
    if isinstance(runner, StepwiseRunner) and regions.dim() == 4:
        regions = taken_looks(regions, runner.looks)
    return logits, regions
