"""A backbone in OpenVINO: float32, bfloat16 where the processor has it, or quantised by NNCF."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from .library import CannotRun, library
from .library_backbone import Program
from .silence import silence

EXTRA = "openvino"
OLDEST, OLDEST_NNCF = "2025.1", "2.16"
# OpenVINO computes in bfloat16 on its own accord where it can, so the type is always said.
_TYPES = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}

Serialized = tuple[bytes, bytes]
"""A model of OpenVINO: its graph as XML, its weights."""


def check_processor(precision: str) -> None:
    """Raises CannotRun unless OpenVINO is installed and runs in ``precision`` on this processor."""
    if precision == "bf16" and "BF16" not in core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        raise CannotRun("this processor has no instructions for bfloat16 that OpenVINO uses")


def converted(program: ExportedProgram) -> Any:
    """``program`` as an ``openvino.Model``.

    Raises:
        CannotRun: OpenVINO cannot convert it.
    """
    openvino = library("openvino", OLDEST, EXTRA)
    with torch.inference_mode(False), silence():
        try:
            return openvino.convert_model(program)
        except Exception as error:  # they share no narrower base class
            raise CannotRun.because("OpenVINO cannot convert the backbone", error) from error


def quantized(model: Any, glimpses: Sequence[Tensor]) -> Serialized:
    """``model`` in 8 bits, with ranges from ``glimpses`` [N, C, h, w], by NNCF's defaults.

    Raises:
        CannotRun: NNCF is not installed or cannot quantise the model.
    """
    nncf = library("nncf", OLDEST_NNCF, EXTRA)
    rows = [row for each in glimpses for row in each.split(1)]
    with torch.inference_mode(False), silence():
        try:
            small = nncf.quantize(
                model, nncf.Dataset(rows, lambda row: row.numpy()), subset_size=len(rows)
            )
        except Exception as error:  # they share no narrower base class
            raise CannotRun.because("NNCF cannot quantise the backbone", error) from error
    return _serialized(small)


def opened(
    model: Any | Serialized, precision: str, alone: Sequence[int] | None = None
) -> Callable[[int], Program]:
    """A function from the number of threads to the program of ``model``.

    Args:
        model: takes any number of glimpses.
        precision: of the arithmetic.
        alone: the shape [C, h, w] of glimpses that a program for one thread gets one by one, if
            it does. With an open number of glimpses EfficientNet-B0 takes a quarter more.
    """
    if isinstance(model, tuple):
        graph, weights = model
        model = core().read_model(graph, weights)

    def open_program(threads: int) -> Program:
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": _TYPES[precision],
            "ENABLE_CPU_PINNING": False,  # several engines and torch share the cores
        }
        try:
            sized = model
            if alone is not None and threads == 1:
                sized = model.clone()
                sized.reshape([1, *alone])
            compiled = core().compile_model(sized, "CPU", settings)
        except Exception as error:  # they share no narrower base class
            raise CannotRun.because("OpenVINO cannot compile the backbone", error) from error
        return Request(compiled.create_infer_request())

    return open_program


class Request:
    """An inference request as a :data:`Program`."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._tensor = library("openvino", OLDEST, EXTRA).Tensor

    def __call__(self, x: Tensor) -> Tensor:
        self._request.set_input_tensor(self._tensor(x.numpy(), shared_memory=True))
        self._request.infer()
        return torch.from_numpy(self._request.get_output_tensor().data)


def _serialized(model: Any) -> Serialized:
    with tempfile.TemporaryDirectory() as folder:
        graph, weights = Path(folder, "backbone.xml"), Path(folder, "backbone.bin")
        library("openvino", OLDEST, EXTRA).save_model(model, graph, compress_to_fp16=False)
        return graph.read_bytes(), weights.read_bytes()


@cache
def core() -> Any:
    return library("openvino", OLDEST, EXTRA).Core()
