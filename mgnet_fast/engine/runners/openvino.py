"""The CPU runner whose backbone runs in OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..libraries import openvino_backbone
from ..libraries.exported_backbone import example_glimpses, exported_backbone, needs_sides
from ..libraries.library_backbone import Program
from ..libraries.library_runner import library_runner
from ..libraries.programs_by_size import programs_by_size
from ..libraries.seen_glimpses import seen_glimpses
from .kind import RunnerKind, RunnerRequest
from .runner import Runner

NAME = "openvino"


def _refusal(request: RunnerRequest) -> str | None:
    if request.device.type != "cpu":
        return f"it runs on the CPU, not on {request.device}"
    return request.missing_calibration(NAME)


def _build(request: RunnerRequest) -> Runner:
    openvino_backbone.check_processor(request.precision)
    if request.precision != "int8" and needs_sides(request.model):
        return library_runner(request, programs_by_size(lambda sides: _of_size(request, sides)))
    program = openvino_backbone.opened(_model(request), request.precision, _shape_alone(request))
    return library_runner(request, program)


def _of_size(request: RunnerRequest, sides: tuple[int, int]) -> Callable[[int], Program]:
    model = openvino_backbone.converted(exported_backbone(request.model, sides))
    return openvino_backbone.opened(model, request.precision)


def _shape_alone(request: RunnerRequest) -> torch.Size | None:
    """The shape [C, h, w] of the glimpses, if the backbone takes them one by one on one thread."""
    rule = getattr(request.model.backbone, "rows_at_once", None)
    glimpses = example_glimpses(request.model, 2)
    return glimpses.shape[1:] if rule is not None and rule(glimpses, threads=1) == 1 else None


def _model(request: RunnerRequest) -> Any:
    def quantized() -> openvino_backbone.Serialized:
        glimpses = seen_glimpses(request.model, request.calibration or ())
        return openvino_backbone.quantized(
            openvino_backbone.converted(request.exported_backbone), glimpses
        )

    if request.precision == "int8":
        return request.measured(NAME, quantized)
    return openvino_backbone.converted(request.exported_backbone)


OPENVINO = RunnerKind(NAME, ("fp32", "bf16", "int8"), _refusal, _build, takes_any_network=True)
