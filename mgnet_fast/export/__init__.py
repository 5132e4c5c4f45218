"""Whole networks as files for other runtimes, each proven against the eager model."""

from .aot import load_aot, write_aot
from .artefact import Exported, export_model
from .formats import FORMATS, Format
from .loop import INPUT_NAME, OUTPUT_NAMES
from .model_config import Batching
from .onnx import OPSET, load_onnx, write_onnx
from .options import BatchRange, ExportOptions, SizeRange
from .parity import Parity, measure_parity
from .sample import calibration_batches, sample_batches
from .serving import Served, write_repository
from .step import STEP_INPUTS, STEP_OUTPUTS, loop_of_steps
from .tensorrt import load_tensorrt, load_tensorrt_rtx, write_tensorrt, write_tensorrt_rtx
from .tensorrt_build import ShapeRange, build_engine, build_with_trtexec
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
