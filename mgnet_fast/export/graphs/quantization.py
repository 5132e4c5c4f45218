"""Static 8-bit quantisation of the backbone in an ONNX file, calibrated on glimpses."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...engine.artefacts.onnx_session import require
from ...engine.artefacts.step_artefact import STEP_INPUTS
from ...models import MGNet
from ..options import ExportOptions
from .loop import INPUT_NAME
from .relu_before_pool import relu_before_pool
from .step import PlainStep, Step, loop_of_steps

QUANTIZED = ("Conv", "Relu", "MaxPool", "Add")
_SYMMETRIC = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
}


def quantize(
    path: Path,
    model: MGNet,
    options: ExportOptions,
    calibration: Iterable[Tensor],
    *,
    symmetric: bool = False,
) -> None:
    """Rewrite the float32 file at ``path`` with a backbone in 8 bits.

    Activations are unsigned with ranges from ``calibration``, per tensor and, in a loop, per
    glimpse.
    Weights are signed, with one scale per output channel, and use 7 bits: processors without VNNI
    add pairs of products in 16 bits, which 8 bits overflow, and a file may run anywhere. The first
    convolution is quantised too, because its input had 8 bits originally.

    ``symmetric`` is for TensorRT, which has no zero points, rounds weights itself and adds biases
    in
    float32: activations are signed, and weights use 8 bits.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    require("onnx", "onnxruntime")
    import onnx
    from onnxruntime import quantization

    proto = onnx.load(path)
    graph = proto.graph
    relu_before_pool(graph)
    wanted = [
        node.name for node in graph.node if "backbone." in node.name and node.op_type in QUANTIZED
    ]
    # Batch norm is already folded; this line silences the advice to preprocess.
    onnx.helper.set_model_props(proto, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        done = Path(folder) / path.name
        quantization.quantize_static(
            proto,
            done,
            _Reader(_inputs(model, options, calibration)),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=(
                quantization.QuantType.QInt8 if symmetric else quantization.QuantType.QUInt8
            ),
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=not symmetric,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_quantize=wanted,
            extra_options=_SYMMETRIC if symmetric else {},
        )
        done.replace(path)


class _Reader:
    """Feeds onnxruntime one set of inputs after another."""

    def __init__(self, inputs: Iterator[dict[str, np.ndarray]]) -> None:
        self._inputs = inputs

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)


def _inputs(
    model: MGNet, options: ExportOptions, calibration: Iterable[Tensor]
) -> Iterator[dict[str, np.ndarray]]:
    if options.what == "loop":
        yield from ({INPUT_NAME: images.numpy()} for images in calibration)
        return
    step = PlainStep(model, options).eval()
    for images in calibration:
        seen: list[dict[str, np.ndarray]] = []
        with torch.no_grad():
            loop_of_steps(_recorded(step, seen), model, options)(images)
        yield from seen


def _recorded(step: Step, seen: list[dict[str, np.ndarray]]) -> Step:
    """``step``, with its inputs recorded in ``seen``."""

    def run(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        given = zip(STEP_INPUTS, inputs, strict=True)
        seen.append({name: each.contiguous().numpy().copy() for name, each in given})
        return step(*inputs)

    return run
