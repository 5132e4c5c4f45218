"""Loop or step as an ONNX file, and running such a file in ONNX Runtime."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...engine.artefacts.onnx_session import open_session, require
from ...engine.artefacts.step_artefact import METADATA_KEY, STEP_INPUTS, STEP_OUTPUTS
from ...engine.libraries.silence import silence
from ...models import GlimpseNetwork, MGNet
from ..graphs.loop import INPUT_NAME, PlainLoop, build_loop, output_names
from ..graphs.names import shorten_names
from ..graphs.parts import check_exportable
from ..graphs.program import exported_program
from ..graphs.quantization import quantize
from ..graphs.step import PlainStep
from ..options import ExportOptions

OPSET = 18  # TensorRT reads GridSample of opset 20 wrongly


def write_onnx(
    model: GlimpseNetwork,
    path: str | os.PathLike[str],
    options: ExportOptions,
    *,
    calibration: Iterable[Tensor] | None = None,
    symmetric: bool = False,
) -> None:
    """Write ``model`` (on the CPU, in evaluation mode) as one ONNX file of opset 18.

    Args:
        model: the network.
        path: of the file.
        options: what the program accepts, and its precision.
        calibration: images in the form the program takes, for int8 only.
        symmetric: int8 in the form TensorRT takes.

    Raises:
        ImportError: onnx or onnxscript is not installed; for int8, onnxruntime.
        ValueError: the options do not fit the network, or int8 has no calibration.
        TypeError: only MGNets have this form.
    """
    require("onnx", "onnxscript")
    check_exportable(model, "onnx", options)
    import onnx

    is_step = options.what == "step"
    if is_step:
        assert isinstance(model, MGNet)  # see check_exportable
        module: nn.Module = PlainStep(model, options)
    else:
        module = build_loop(PlainLoop, model, options)
    program = exported_program(module, model, options)
    with silence():
        converted = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(STEP_INPUTS) if is_step else [INPUT_NAME],
            output_names=list(STEP_OUTPUTS if is_step else output_names(model, options)),
        )
    if converted is None:
        raise RuntimeError("torch.onnx.export returned no program")
    proto = converted.model_proto
    shorten_names(proto, options.what, by_glimpse=not is_step and isinstance(model, MGNet))
    onnx.save(proto, os.fspath(path))
    if options.precision == "int8":
        if calibration is None:
            raise ValueError("calibration must be images for precision int8, got None")
        assert isinstance(model, MGNet)
        quantize(Path(path), model, options, calibration, symmetric=symmetric)


def describe_onnx(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest`` into the file's metadata."""
    import onnx

    proto = onnx.load(path)
    onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(manifest)})
    onnx.save(proto, path)


def load_onnx(path: str | os.PathLike[str]) -> Callable[..., tuple[Tensor, ...]]:
    """The file's function from inputs to outputs, run by ONNX Runtime on the CPU.

    Uses as many threads as ``torch.get_num_threads()`` returns now.

    Raises:
        ImportError: onnxruntime is not installed.
        ValueError: it cannot load the file.
    """
    session = open_session(path)
    names = [each.name for each in session.get_inputs()]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = zip(names, inputs, strict=True)
        found = session.run(None, {name: each.contiguous().numpy() for name, each in given})
        return tuple(map(torch.from_numpy, found))

    return run
