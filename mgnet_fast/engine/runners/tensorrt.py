"""The GPU runner that executes an exported step in TensorRT or TensorRT-RTX.

It has never run on a GPU. Tests check the calls it makes to the library.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ..artefacts.artefact_runner import ArtefactRunner
from ..artefacts.step_artefact import STEP_INPUTS, STEP_OUTPUTS, check_fits
from ..artefacts.tensorrt_library import (
    FULL,
    INSTALL,
    RTX,
    TITLES,
    import_library,
    is_installed,
    no_device,
)
from ..artefacts.tensorrt_session import EngineSession
from .kind import RunnerKind, RunnerRequest

PRECISIONS = ("fp32", "fp16", "int8")
LIBRARIES = {"tensorrt": FULL, "tensorrt-rtx": RTX}  # by the format in a manifest


class EngineProgram:
    """An engine of one step as a function of tensors, on torch's current stream."""

    def __init__(self, session: EngineSession) -> None:
        self._session = session

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found = self._session(dict(zip(STEP_INPUTS, inputs, strict=True)))
        logits, following, token = (found[name] for name in STEP_OUTPUTS)
        return logits, following, token


def _refusal(request: RunnerRequest) -> str | None:
    if request.device.type != "cuda":
        return f"it runs on a GPU, not on {request.device}"
    reason = no_device()
    if reason is not None:
        return reason
    name = _library_name(_manifest(request))
    if not is_installed(name):
        return f"{TITLES[name]} is not installed: {INSTALL[name]}"
    return None


def _build(request: RunnerRequest) -> ArtefactRunner:
    if request.artefact is None:
        raise ValueError("artefact must be the path of an exported step, got None")
    manifest = _manifest(request)
    description = check_fits(manifest, request)
    library = import_library(_library_name(manifest))
    session = EngineSession(library, request.artefact, request.device)
    return ArtefactRunner(EngineProgram(session), description, request.mgnet, request.device)


def _manifest(request: RunnerRequest) -> dict[str, Any] | None:
    """The manifest beside the artefact, because an engine file cannot hold one."""
    if request.artefact is None:
        return None
    path = Path(f"{request.artefact}.manifest.json")
    if not path.is_file():
        return None
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def _library_name(manifest: dict[str, Any] | None) -> str:
    return LIBRARIES.get(str((manifest or {}).get("format")), FULL)


TENSORRT = RunnerKind(
    "tensorrt", PRECISIONS, _refusal, _build, is_tried=False, takes_artefact="always"
)
