"""Exports networks for other runtimes, and compares each file with the eager model."""

from .artefact import Exported, export_model
from .formats.aot import load_aot, write_aot
from .formats.known import FORMATS, Format
from .formats.onnx import OPSET, load_onnx, write_onnx
from .formats.tensorrt import load_tensorrt, load_tensorrt_rtx, write_tensorrt, write_tensorrt_rtx
from .formats.tensorrt_build import ShapeRange, build_engine, build_with_trtexec
from .graphs.loop import INPUT_NAME, OUTPUT_NAMES
from .graphs.step import STEP_INPUTS, STEP_OUTPUTS, loop_of_steps
from .options import BatchRange, ExportOptions, SizeRange
from .parity import Parity, measure_parity
from .sample import calibration_batches, sample_batches
from .serving.model_config import Batching
from .serving.repository import Served, write_repository
from .tolerances import TOLERANCES, Tolerances

__all__ = [
    "FORMATS",
    "INPUT_NAME",
    "OPSET",
    "OUTPUT_NAMES",
    "STEP_INPUTS",
    "STEP_OUTPUTS",
    "TOLERANCES",
    "BatchRange",
    "Batching",
    "ExportOptions",
    "Exported",
    "Format",
    "Parity",
    "Served",
    "ShapeRange",
    "SizeRange",
    "Tolerances",
    "build_engine",
    "build_with_trtexec",
    "calibration_batches",
    "export_model",
    "load_aot",
    "load_onnx",
    "load_tensorrt",
    "load_tensorrt_rtx",
    "loop_of_steps",
    "measure_parity",
    "sample_batches",
    "write_aot",
    "write_onnx",
    "write_repository",
    "write_tensorrt",
    "write_tensorrt_rtx",
]
