"""Requests for a runner, and the description of each kind of runner."""

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
    """The checked arguments of :class:`Engine`.

    ``calibration`` holds image batches [B, C, H, W] with at least one image; ``ranges`` are the
    int8 ranges measured on them, if known.
    """

    model: GlimpseNetwork
    device: torch.device
    precision: str
    slots: int
    artefact: Path | None = None
    calibration: tuple[Tensor, ...] | None = None
    ranges: list[ActivationRange] | None = None
    weights: str = "fp32"

    @cached_property
    def folded(self) -> FoldedFusion | None:
        """The model's folded fusion, computed in float64 on the device of its weights; None for a
        network without a fused step."""
        step = self.model.fused_step
        if step is None:
            return None
        parts = FoldedFusion.of(step.attention, torch.float32)
        return FoldedFusion(*(part.to(self.device) for part in parts))

    @property
    def mgnet(self) -> MGNet:
        """The model, for runners that accept only MGNets."""
        return cast(MGNet, self.model)

    def network(self) -> GlimpseNetwork:
        """A copy of the model for the runner: float32, evaluation mode, on the device."""
        return copy.deepcopy(self.model).float().eval().to(self.device)


@dataclass(frozen=True)
class RunnerKind:
    """A kind of runner.

    Attributes:
        name: its name in ``Engine(runner=...)``.
        precisions: the supported precisions of the backbone.
        refusal: returns why it cannot serve a request (of a supported precision), or None.
        build: builds the runner.
        is_tried: whether "auto" may use it, as it needs no compiler and no artefact.
        loads_artefact: whether it needs the path of an artefact.
        takes_any_network: whether it also runs networks without a
            :attr:`GlimpseNetwork.fused_step`.
        storages: how it can store the weights of a float32 backbone.
    """

    name: str
    precisions: tuple[str, ...]
    refusal: Callable[[RunnerRequest], str | None]
    build: Callable[[RunnerRequest], Runner]
    is_tried: bool = True
    loads_artefact: bool = False
    takes_any_network: bool = False
    storages: tuple[str, ...] = ("fp32",)
