"""What whoever runs an exported network has to know, as plain data."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..models import MGNet
from .loop import INPUT_NAME, output_names
from .options import ExportOptions

_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "tensorrt", "tensorrt_rtx")


def build_manifest(
    model: MGNet, options: ExportOptions, *, kind: str, class_names: Sequence[str] | None
) -> dict[str, Any]:
    """Shapes, precision, preprocessing, class names, versions and commit of an artefact.

    Raises:
        ValueError: there is not one name for each class.
    """
    config = model.config
    if class_names is not None and len(class_names) != config.num_classes:
        raise ValueError(
            f"class_names must have one name for each of {config.num_classes} classes, "
            f"got {len(class_names)}"
        )
    steps = options.steps(config)
    shape = {
        "float": ["batch", config.in_chans, "height", "width"],
        "uint8": ["batch", "height", "width", config.in_chans],
    }[options.input]
    sizes = options.engine_sizes() if kind.startswith("tensorrt") else options.open_sizes
    height, width = options.image_size or (None, None)
    shapes: tuple[list[Any], ...] = (
        [steps, "batch", config.num_classes],
        [steps, "batch", 3],
        ["batch"],
    )
    if options.outputs == "batch-first":
        shapes = (["batch", config.num_classes], ["batch", steps, 3], ["batch", 1])
    types = ("float32", "float32", "int64")
    return {
        "format": kind,
        "what": "loop",
        "precision": "fp32",
        "num_glimpses": steps,
        "glimpse_shape": list(options.glimpse_shape(config)),
        "input": {
            "name": INPUT_NAME,
            "dtype": "float32" if options.input == "float" else "uint8",
            "shape": shape,
            "batch": {
                "min": options.batch.low,
                "opt": options.batch.usual,
                "max": options.batch.high,
            },
            "height": [height or sizes.low[0], height or sizes.high[0]],
            "width": [width or sizes.low[1], width or sizes.high[1]],
        },
        "outputs": [
            {"name": name, "dtype": dtype, "shape": each}
            for name, dtype, each in zip(output_names(options), types, shapes, strict=True)
        ],
        "preprocessing": {
            "inside": options.input == "uint8",
            "divide_by": 255,
            "mean": config.mean,
            "std": config.std,
        },
        "class_names": list(class_names) if class_names is not None else None,
        "backbone": model.backbone_name,
        "config": config.to_dict(),
        "versions": _versions(),
        "commit": _commit(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _versions() -> dict[str, str]:
    found = {
        "mgnet_fast": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of the source tree; None for an installed package, which does not know it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
