"""Opens ONNX files in ONNX Runtime on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
from typing import Any

import torch

from .step_artefact import METADATA_KEY

INSTALL_HINT = "pip install 'mgnet-fast[export]'"


def require(*libraries: str) -> None:
    """Raise ImportError with an install hint if one of ``libraries`` is missing."""
    missing = missing_library(*libraries)
    if missing is not None:
        raise ImportError(f"ONNX needs {missing}")


def missing_library(*libraries: str) -> str | None:
    """Which of ``libraries`` are missing, with an install hint, or None."""
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    verb = "is" if len(missing) == 1 else "are"
    return f"{' and '.join(missing)}, which {verb} not installed: {INSTALL_HINT}"


def open_session(path: str | os.PathLike[str]) -> Any:
    """An ``onnxruntime.InferenceSession`` with torch's current number of threads.

    Raises:
        ImportError: onnxruntime is not installed.
        FileNotFoundError: there is no such file.
        ValueError: onnxruntime cannot load it.
    """
    require("onnxruntime")
    import onnxruntime

    if not os.path.isfile(path):
        raise FileNotFoundError(f"artefact {os.fspath(path)} does not exist")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            os.fspath(path), settings, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # they share no narrower base class
        raise ValueError(
            f"artefact {os.fspath(path)} cannot be loaded by onnxruntime "
            f"{onnxruntime.__version__}: {str(error).splitlines()[0]}"
        ) from None


def description_of(session: Any) -> dict[str, Any] | None:
    """The manifest stored in the file, or None."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    return None if text is None else json.loads(text)
