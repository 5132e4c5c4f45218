"""A backbone in ONNX Runtime: float32, or quantised by its own quantiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from .library import CannotRun, library
from .library_backbone import Program
from .onnx_quantization import quantized_model
from .silence import silence

EXTRA = "export"
_OLDEST = {"onnx": "1.17", "onnxscript": "0.5", "onnxruntime": "1.20"}
_INPUT, _OUTPUT = "glimpses", "features"
_OPSET = 18
# Sigmoid and Mul are parts of SiLU and of squeeze-and-excite: without them EfficientNet-B0 takes a
# quarter more at batch 16, for conversions back and forth.
_QUANTIZED = (
    "Conv", "Gemm", "MatMul", "Relu", "Clip", "Sigmoid", "Mul", "Add", "MaxPool",
    "GlobalAveragePool",
)  # fmt: skip
_ONLY_ERRORS = 3  # of onnxruntime's log levels


def check_libraries() -> None:
    """Raises CannotRun unless ONNX Runtime and what writes its models are installed."""
    for name, oldest in _OLDEST.items():
        library(name, oldest, EXTRA)


def converted(program: ExportedProgram) -> Any:
    """``program`` as an ``onnx.ModelProto``.

    Raises:
        CannotRun: it has no form in ONNX.
    """
    with torch.inference_mode(False), silence():
        try:
            found = torch.onnx.export(
                program,
                (),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
            )
            assert found is not None
            return found.model_proto
        except Exception as error:  # they share no narrower base class
            raise CannotRun.because("the backbone has no form in ONNX", error) from error


def quantized(proto: Any, glimpses: Sequence[Tensor]) -> bytes:
    """``proto`` in 8 bits, with ranges from ``glimpses`` [N, C, h, w], serialised.

    Raises:
        CannotRun: ONNX Runtime cannot quantise it.
    """
    few_bits = not torch.cpu._is_vnni_supported()
    inputs = ({_INPUT: each.numpy()} for each in glimpses)
    with torch.inference_mode(False), silence():
        try:
            return quantized_model(proto, inputs, operators=_QUANTIZED, few_bits=few_bits)
        except Exception as error:  # they share no narrower base class
            raise CannotRun.because("ONNX Runtime cannot quantise the backbone", error) from error


def serialized(proto: Any) -> bytes:
    """``proto`` as a file's bytes.

    Raises:
        CannotRun: it is too large for one file.
    """
    try:
        found: bytes = proto.SerializeToString()
    except Exception as error:  # protobuf's own error, whose place differs between versions
        raise CannotRun.because("the backbone does not fit a file of ONNX", error) from error
    return found


def opened(model: bytes) -> Callable[[int], Program]:
    """A function from the number of threads to the program of a serialised ``model``."""
    onnxruntime = library("onnxruntime", _OLDEST["onnxruntime"], EXTRA)

    def open_program(threads: int) -> Program:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = _ONLY_ERRORS
        try:
            session = onnxruntime.InferenceSession(
                model, settings, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # they share no narrower base class
            raise CannotRun.because("ONNX Runtime cannot open the backbone", error) from error
        return _Session(session)

    return open_program


class _Session:
    """A session as a :data:`Program`."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, x: Tensor) -> Tensor:
        (features,) = self._session.run((_OUTPUT,), {_INPUT: x.numpy()})
        return torch.from_numpy(features)
