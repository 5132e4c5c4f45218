"""What is asked of a runner before there is one, and what each kind of runner says to it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ...functional import FoldedFusion
from ...models import GlimpseNetwork, MGNet
from ..convolutions.activation_range import ActivationRange
from .runner import Runner


@dataclass(frozen=True)
class RunnerRequest:
    """What an engine wants a runner for; the arguments of :class:`Engine`, checked.

    ``calibration`` are image batches [B, C, H, W], at least one image; ``ranges`` what int8 takes
    from them, if that is known.
    """

    model: GlimpseNetwork
    device: torch.device
    precision: str
    slots: int
    artefact: Path | None = None
    calibration: tuple[Tensor, ...] | None = None
    ranges: list[ActivationRange] | None = None

    @cached_property
    def folded(self) -> FoldedFusion | None:
        """The model's fusion, folded where its weights are, in float64, then on the device; None
        for a network without a fused step."""
        step = self.model.fused_step
        if step is None:
            return None
        parts = FoldedFusion.of(step.attention, torch.float32)
        return FoldedFusion(*(part.to(self.device) for part in parts))

    @property
    def mgnet(self) -> MGNet:
        """The model, for runners that refuse all but MGNets."""
        return cast(MGNet, self.model)

    def network(self) -> GlimpseNetwork:
        """A copy of the model for a runner to keep: float32, in evaluation, on the device."""
        return copy.deepcopy(self.model).float().eval().to(self.device)


@dataclass(frozen=True)
class RunnerKind:
    """A way to run steps.

    Attributes:
        name: what ``Engine(runner=...)`` calls it.
        precisions: of the backbone, that it can run in.
        refusal: why it cannot serve a request (of one of its precisions), or None where it can.
        build: makes the runner.
        is_tried: whether "auto" may take it: it starts no compiler and loads no artefact.
        loads_artefact: whether it needs the path of one.
        takes_any_network: whether it also runs networks without a
            :attr:`GlimpseNetwork.fused_step`.
    """

    name: str
    precisions: tuple[str, ...]
    refusal: Callable[[RunnerRequest], str | None]
    build: Callable[[RunnerRequest], Runner]
    is_tried: bool = True
    loads_artefact: bool = False
    takes_any_network: bool = False
