"""Static 8-bit quantisation of the backbone in an ONNX file, calibrated on glimpses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...engine.artefacts.onnx_session import require
from ...engine.artefacts.step_artefact import STEP_INPUTS
from ...engine.libraries.onnx_quantization import quantized_model
from ...models import MGNet
from ..options import ExportOptions
from .loop import INPUT_NAME
from .relu_before_pool import relu_before_pool
from .step import PlainStep, Step, loop_of_steps

QUANTIZED = ("Conv", "Relu", "MaxPool", "Add")


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

    proto = onnx.load(path)
    relu_before_pool(proto.graph)
    wanted = [
        node.name
        for node in proto.graph.node
        if "backbone." in node.name and node.op_type in QUANTIZED
    ]
    quantized = quantized_model(
        proto,
        _inputs(model, options, calibration),
        operators=QUANTIZED,
        nodes=wanted,
        few_bits=not symmetric,
        symmetric=symmetric,
    )
    path.write_bytes(quantized)


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

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = zip(STEP_INPUTS, inputs, strict=True)
        seen.append({name: each.contiguous().numpy().copy() for name, each in given})
        return step(*inputs)

    return run
