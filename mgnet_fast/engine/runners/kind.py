"""Requests for a runner, and the description of each kind of runner."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ...functional import FoldedFusion
from ...models import GlimpseNetwork, MGNet
from ..libraries.exported_backbone import exported_backbone
from .runner import Runner

X = TypeVar("X")


@dataclass(frozen=True)
class RunnerRequest:
    """The checked arguments of :class:`Engine`.

    ``calibration`` holds image batches [B, C, H, W] with at least one image. ``measurements`` is
    what runners have found on them for int8, by the name of the runner; a copy of an engine is
    built from it.
    """

    model: GlimpseNetwork
    device: torch.device
    precision: str
    slots: int
    artefact: Path | None = None
    calibration: tuple[Tensor, ...] | None = None
    measurements: dict[str, Any] = field(default_factory=dict)
    weights: str = "fp32"
    tolerance: float | None = None
    _base: RunnerRequest | None = None

    def stored_as(self, precision: str, weights: str) -> RunnerRequest:
        """The same request in another precision; what is the same in all is computed once."""
        return replace(self, precision=precision, weights=weights, _base=self._base or self)

    @cached_property
    def folded(self) -> FoldedFusion | None:
        """The model's folded fusion, computed in float64 on the device of its weights; None for a
        network without a fused step."""
        if self._base is not None:
            return self._base.folded
        step = self.model.fused_step
        if step is None:
            return None
        parts = FoldedFusion.of(step.attention, torch.float32)
        return FoldedFusion(*(part.to(self.device) for part in parts))

    @cached_property
    def exported_backbone(self) -> ExportedProgram:
        """See :func:`.exported_backbone.exported_backbone`."""
        return (
            self._base.exported_backbone
            if self._base is not None
            else exported_backbone(self.model)
        )

    def missing_calibration(self, runner: str) -> str | None:
        """Why ``runner`` cannot run in int8 for want of images, or None."""
        if self.precision != "int8" or self.calibration is not None or runner in self.measurements:
            return None
        return "int8 needs calibration: batches of images [B, C, H, W]"

    def measured(self, runner: str, measure: Callable[[], X]) -> X:
        """What ``runner`` has found on the calibration images, by ``measure`` the first time."""
        if runner not in self.measurements:
            self.measurements[runner] = measure()
        found: X = self.measurements[runner]
        return found

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
        takes_artefact: whether it runs an exported step, whose path is given: "never", "always",
            or "optional".
        takes_any_network: whether it also runs networks without a
            :attr:`GlimpseNetwork.fused_step`.
        storages: how it can store the weights of a float32 backbone.
    """

    name: str
    precisions: tuple[str, ...]
    refusal: Callable[[RunnerRequest], str | None]
    build: Callable[[RunnerRequest], Runner]
    is_tried: bool = True
    takes_artefact: Literal["never", "optional", "always"] = "never"
    takes_any_network: bool = False
    storages: tuple[str, ...] = ("fp32",)
