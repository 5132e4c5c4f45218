"""The manifest of an exported network: everything a runtime must know, as plain data."""

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
from ..engine.artefacts.step_artefact import STEP_INPUTS, STEP_OUTPUTS, weights_digest
from ..engine.exit_file import exit_values
from ..engine.exits import ExitRule
from ..models import GlimpseNetwork, MGNet
from ..models.network import config_values
from .graphs.loop import INPUT_NAME, output_names
from .graphs.network_loop import attention_shapes
from .options import ExportOptions

_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "tensorrt", "tensorrt_rtx")


def build_manifest(
    model: GlimpseNetwork,
    options: ExportOptions,
    *,
    kind: str,
    class_names: Sequence[str] | None,
    exit: ExitRule | None = None,
) -> dict[str, Any]:
    """The manifest: shapes, precision, preprocessing, names, versions, commit.

    Raises:
        ValueError: the number of names differs from that of the classes.
    """
    config = model.config
    if class_names is not None and len(class_names) != config.num_classes:
        raise ValueError(
            f"class_names must have one name for each of {config.num_classes} classes, "
            f"got {len(class_names)}"
        )
    shape = {
        "float": ["batch", config.in_chans, "height", "width"],
        "uint8": ["batch", "height", "width", config.in_chans],
    }[options.input]
    sizes = options.engine_sizes() if kind.startswith("tensorrt") else options.open_sizes
    glimpse_shape = options.glimpse_shape(config)
    height, width = options.image_size or (None, None)
    if options.sampling == "outside":
        height, width = glimpse_shape
    state, outputs = _tensors(model, options)
    return {
        "format": kind,
        "what": options.what,
        "precision": options.precision,
        "sampling": options.sampling,
        "num_glimpses": options.steps(config),
        "num_classes": config.num_classes,
        "token_width": model.loc_network.fc.in_features if isinstance(model, MGNet) else None,
        "weights": weights_digest(model),
        "glimpse_shape": list(glimpse_shape),
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
        "state": state,
        "outputs": outputs,
        "exit": None if exit is None else exit_values(exit),
        "preprocessing": {
            "inside": options.input == "uint8",
            "divide_by": 255,
            "mean": config.mean,
            "std": config.std,
        },
        "class_names": list(class_names) if class_names is not None else None,
        "backbone": model.backbone_name,
        "config": config_values(config),
        "versions": _versions(),
        "commit": _commit(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _tensors(model: GlimpseNetwork, options: ExportOptions) -> tuple[list[Any], list[Any]]:
    """The inputs other than the images, and the outputs."""
    steps, classes = options.steps(model.config), model.config.num_classes
    if options.what == "loop":
        looks, numbers = sum(model.looks_within(steps)), _region_numbers(model)
        loop: tuple[list[Any], ...] = (
            [steps, "batch", classes], [looks, "batch", numbers], ["batch"],
        )  # fmt: skip
        if options.outputs == "batch-first":
            loop = (["batch", classes], ["batch", looks, numbers], ["batch", 1])
        maps = [["batch", *shape] for shape in attention_shapes(model, options)]
        types = ("float32", "float32", "int64", *("float32" for _ in maps))
        return [], _described(output_names(model, options), types, (*loop, *maps))
    assert isinstance(model, MGNet)  # see check_exportable
    width = model.loc_network.fc.in_features
    state = (["batch", 3], ["batch", steps, width], ["batch"])
    outputs = (["batch", classes], ["batch", 3], ["batch", width])
    return (
        _described(STEP_INPUTS[1:], ("float32", "float32", "int64"), state),
        _described(STEP_OUTPUTS, ("float32",) * 3, outputs),
    )


def _region_numbers(model: GlimpseNetwork) -> int:
    """Whether regions are (s, x, y) or (s_x, s_y, x, y)."""
    device = next(model.parameters()).device
    state = model.start(torch.ones(1, 2, dtype=torch.int64, device=device))
    return model.looks_at_step(state, 0).region.shape[1]


def _described(
    names: Sequence[str], types: Sequence[str], shapes: Sequence[list[Any]]
) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": dtype, "shape": shape}
        for name, dtype, shape in zip(names, types, shapes, strict=True)
    ]


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
    """The commit of the source tree; None for an installed package, which has no record of it."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
