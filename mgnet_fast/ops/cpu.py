"""The native CPU backend: hands tensors to the C++ kernels as addresses, sizes and strides."""

from __future__ import annotations

# torch first: its OpenMP runtime must be the one that the extension finds loaded.
import torch  # noqa: F401

_import_error: str | None = None
try:
    from .. import _native
except ImportError as error:
    _native = None  # type: ignore[assignment]
    _import_error = str(error)


def why_not(device: str) -> str | None:
    """Why this backend cannot serve tensors on ``device``, or None where it can."""
    if device != "cpu":
        return "it serves CPU tensors only"
    if _native is None:
        return f"the compiled extension is not there ({_import_error}); install with a C++ compiler"
    return None


def describe() -> str:
    """The extension in a line: the instruction sets in it and the one in use, or what is wrong."""
    if _native is None:
        return f"NOT BUILT, glimpses run in plain PyTorch: {why_not('cpu')}"
    return f"built for {', '.join(_native.isa_compiled())}; in use: {_native.isa()}"
