"""The loop as an ONNX file, and running such a file in ONNX Runtime."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..models import MGNet
from .loop import INPUT_NAME, Outputs, PlainLoop, build_loop, output_names
from .options import ExportOptions
from .program import exported_program

OPSET = 18  # TensorRT reads GridSample right at 18 and wrong at 20
INSTALL_HINT = "pip install 'mgnet-fast[export]'"


def write_onnx(model: MGNet, path: str | os.PathLike[str], options: ExportOptions) -> None:
    """Writes ``model`` (on the CPU, in evaluation mode) as one ONNX file of opset 18.

    Raises:
        ImportError: onnx or onnxscript is not installed.
        ValueError: the options do not fit the network.
    """
    _require("onnx", "onnxscript")
    loop = build_loop(PlainLoop, model, options)
    program = exported_program(loop, options, model.config.in_chans)
    # The exporter prints its progress and warns of its own deprecations.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        converted = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT_NAME],
            output_names=list(output_names(options)),
        )
    if converted is None:
        raise RuntimeError("torch.onnx.export returned no program")
    converted.save(Path(path), external_data=False)


def load_onnx(path: str | os.PathLike[str]) -> Callable[[Tensor], Outputs]:
    """A function from images to (n_logit, regions, label), computed by ONNX Runtime on the CPU.

    It uses as many threads as ``torch.get_num_threads()`` says now.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    _require("onnxruntime")
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        os.fspath(path), settings, providers=["CPUExecutionProvider"]
    )

    def run(images: Tensor) -> Outputs:
        found = session.run(None, {INPUT_NAME: images.contiguous().numpy()})
        n_logit, regions, label = (torch.from_numpy(array) for array in found)
        return n_logit, regions, label

    return run


def _require(*names: str) -> None:
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"ONNX needs {' and '.join(missing)}: {INSTALL_HINT}")
