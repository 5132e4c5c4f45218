"""The CPU runner whose backbone runs in OpenVINO."""

from __future__ import annotations

from typing import Any

from ..libraries import openvino_backbone
from ..libraries.library_runner import library_runner
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
    return library_runner(request, openvino_backbone.opened(_model(request), request.precision))


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
