"""The CPU runner whose backbone, or whose whole exported step, runs in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..artefacts.artefact_runner import ArtefactRunner
from ..artefacts.onnx_session import description_of, missing_library, open_session
from ..artefacts.step_artefact import STEP_INPUTS, STEP_OUTPUTS, check_fits
from ..libraries import onnxruntime_backbone
from ..libraries.exported_backbone import exported_backbone, needs_sides
from ..libraries.library_backbone import Program
from ..libraries.library_runner import library_runner
from ..libraries.programs_by_size import programs_by_size
from ..libraries.seen_glimpses import seen_glimpses
from .kind import RunnerKind, RunnerRequest
from .runner import Runner

NAME = "onnxruntime"
PRECISIONS = ("fp32", "fp16", "int8")


class SessionProgram:
    """An ONNX Runtime session as a function of tensors, whose memory it reads in place."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        given = zip(STEP_INPUTS, inputs, strict=True)
        found = self._session.run(
            list(STEP_OUTPUTS), {name: each.contiguous().numpy() for name, each in given}
        )
        logits, following, token = map(torch.from_numpy, found)
        return logits, following, token


def _refusal(request: RunnerRequest) -> str | None:
    if request.device.type != "cpu":
        return f"it runs on the CPU, not on {request.device}"
    if request.artefact is not None:
        return missing_library("onnxruntime")
    if request.precision == "fp16":
        return "it computes in fp16 only what mgnet-fast export wrote so; give its path as artefact"
    return request.missing_calibration(NAME)


def _build(request: RunnerRequest) -> Runner:
    if request.artefact is None:
        onnxruntime_backbone.check_libraries()
        if request.precision != "int8" and needs_sides(request.model):
            return library_runner(request, programs_by_size(lambda sides: _of_size(request, sides)))
        return library_runner(request, onnxruntime_backbone.opened(_backbone(request)))
    session = open_session(request.artefact)
    description = check_fits(description_of(session), request)
    return ArtefactRunner(SessionProgram(session), description, request.mgnet, request.device)


def _of_size(request: RunnerRequest, sides: tuple[int, int]) -> Callable[[int], Program]:
    proto = onnxruntime_backbone.converted(exported_backbone(request.model, sides))
    return onnxruntime_backbone.opened(onnxruntime_backbone.serialized(proto))


def _backbone(request: RunnerRequest) -> bytes:
    def quantized() -> bytes:
        glimpses = seen_glimpses(request.model, request.calibration or ())
        proto = onnxruntime_backbone.converted(request.exported_backbone)
        return onnxruntime_backbone.quantized(proto, glimpses)

    if request.precision == "int8":
        return request.measured(NAME, quantized)
    proto = onnxruntime_backbone.converted(request.exported_backbone)
    return onnxruntime_backbone.serialized(proto)


ONNXRUNTIME = RunnerKind(
    NAME, PRECISIONS, _refusal, _build, takes_artefact="optional", takes_any_network=True
)
