"""Skipping where the libraries of the extra export are not installed."""

from __future__ import annotations

import pytest


def require_onnx() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed (the extra export)")
