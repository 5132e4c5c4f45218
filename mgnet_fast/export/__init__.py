"""Whole networks as files for other runtimes, each proven against the eager model."""

from .aot import load_aot, write_aot
from .artefact import FORMATS, Exported, export_model
from .loop import INPUT_NAME, OUTPUT_NAMES
from .onnx import OPSET, load_onnx, write_onnx
from .options import BatchRange, ExportOptions
from .parity import Parity, measure_parity

__all__ = [
    "FORMATS",
    "INPUT_NAME",
    "OPSET",
    "OUTPUT_NAMES",
    "BatchRange",
    "ExportOptions",
    "Exported",
    "Parity",
    "export_model",
    "load_aot",
    "load_onnx",
    "measure_parity",
    "write_aot",
    "write_onnx",
]
