"""The libraries that run backbones from memory, and skipping where they are not installed."""

from __future__ import annotations

import pytest

NEEDS = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
}


def require(runner: str, precision: str = "fp32") -> None:
    """Skip where what ``runner`` needs is not installed."""
    names = NEEDS[runner]
    if (runner, precision) == ("openvino", "int8"):
        names = (*names, "nncf")
    for name in names:
        pytest.importorskip(name, reason=f"{name} is not installed")
