"""Static 8-bit quantisation by ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Inputs = Mapping[str, np.ndarray]
_SYMMETRIC = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
}


def quantized_model(
    proto: Any,
    inputs: Iterable[Inputs],
    *,
    operators: tuple[str, ...],
    nodes: list[str] | None = None,
    few_bits: bool,
    symmetric: bool = False,
) -> bytes:
    """A float32 ONNX model with some of its nodes in 8 bits, in QDQ form.

    Activations have one range per tensor, unsigned; weights are signed, with one scale per output
    channel.

    Args:
        proto: the ``onnx.ModelProto``, with batch norm folded.
        inputs: sample inputs, by name.
        operators: the types of the nodes to quantise.
        nodes: their names; None for all nodes of these types.
        few_bits: weights use 7 bits, because processors without VNNI add pairs of products in 16
            bits, which 8 bits overflow.
        symmetric: the form that TensorRT takes: no zero points, signed activations, biases in
            float32.
    """
    import onnx
    from onnxruntime import quantization

    activations = quantization.QuantType.QInt8 if symmetric else quantization.QuantType.QUInt8
    # Batch norm is already folded; this line silences the advice to preprocess.
    onnx.helper.set_model_props(proto, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "quantised.onnx")
        quantization.quantize_static(
            proto,
            path,
            _Reader(iter(inputs)),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=activations,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=few_bits,
            op_types_to_quantize=list(operators),
            nodes_to_quantize=nodes,
            extra_options=_SYMMETRIC if symmetric else {},
        )
        return path.read_bytes()


class _Reader:
    """Feeds onnxruntime one set of inputs after another."""

    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)
