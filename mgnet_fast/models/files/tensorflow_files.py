"""Reads the checkpoints that the published TNet writes, where TensorFlow is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOT = "/.OPTIMIZER_SLOT/"
_OPTIMIZER = "optimizer/"


def read_variables(directory: Path) -> dict[str, np.ndarray]:
    """The network's variables of the latest checkpoint in a folder, by their published names.

    Variables of the optimiser and counters are left out. The published code saves each variable as
    an attribute of a ``tf.train.Checkpoint`` under its name, in which TensorFlow writes "/" as
    ".S" and "." as "..".

    Raises:
        ImportError: TensorFlow is not installed.
        ValueError: there is no checkpoint, or it is damaged.
    """
    try:
        import tensorflow as tf  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise ImportError(
            f"checkpoint {directory} is TensorFlow's, which is not installed: "
            "pip install tensorflow"
        ) from error
    path = tf.train.latest_checkpoint(str(directory))
    if path is None:
        raise ValueError(f"checkpoint {directory} must hold a TensorFlow checkpoint, got none")
    found: dict[str, np.ndarray] = {}
    try:
        reader = tf.train.load_checkpoint(path)
        for key in reader.get_variable_to_shape_map():
            if not key.endswith(_VALUE) or _SLOT in key or key.startswith(_OPTIMIZER):
                continue
            value = np.asarray(reader.get_tensor(key))
            if value.dtype.kind == "f":  # counters are integers
                found[_name(key.removesuffix(_VALUE))] = value
    except tf.errors.OpError as error:
        raise ValueError(f"checkpoint {path} is damaged: {error}") from error
    return found


def _name(escaped: str) -> str:
    return ".".join(part.replace(".S", "/") for part in escaped.split(".."))
