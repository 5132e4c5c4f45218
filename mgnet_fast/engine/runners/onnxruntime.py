"""The CPU runner that executes an exported step in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..artefacts.onnx_session import description_of, missing_library, open_session
from ..artefacts.step_artefact import STEP_INPUTS, STEP_OUTPUTS, check_fits
from .artefact import ArtefactRunner
from .kind import RunnerKind, RunnerRequest

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
    return missing_library("onnxruntime")


def _build(request: RunnerRequest) -> ArtefactRunner:
    if request.artefact is None:
        raise ValueError("artefact must be the path of an exported step, got None")
    session = open_session(request.artefact)
    description = check_fits(description_of(session), request)
    return ArtefactRunner(SessionProgram(session), description, request.mgnet, request.device)


ONNXRUNTIME = RunnerKind(
    "onnxruntime", PRECISIONS, _refusal, _build, is_tried=False, loads_artefact=True
)
