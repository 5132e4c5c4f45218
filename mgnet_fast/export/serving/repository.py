"""Model repositories for NVIDIA's Triton Inference Server."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..graphs.loop import SERVED_NAMES
from .model_config import BACKENDS, INSTANCE_KINDS, LABELS_FILE, Batching, model_config

VERSION = "1"


class Served(NamedTuple):
    """The model's folder, and whether its classes have names."""

    folder: Path
    has_class_names: bool


def write_repository(
    artefact: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    name: str = "mgnet",
    *,
    class_names: Sequence[str] | None = None,
    batching: Batching | None = None,
) -> Served:
    """Put an exported loop into a model repository: ``directory/name``.

    The folder holds ``config.pbtxt``, ``labels.txt``, the manifest and ``1/model.onnx`` or
    ``1/model.plan``. It is created atomically.

    Args:
        artefact: ``loop.onnx`` or ``loop.plan`` with its manifest beside it, exported with
            ``outputs="batch-first"`` for batches from 1.
        directory: a new or empty folder, or a repository without a model of that name.
        name: of the model.
        class_names: one per class; default: those of the manifest, else numbers.
        batching: how requests are batched.

    Raises:
        FileNotFoundError: the artefact or its manifest is missing.
        FileExistsError: ``directory`` holds something else.
        ValueError: the server cannot run this artefact, or an argument does not fit.
    """
    artefact, directory = Path(artefact), Path(directory)
    batching = batching or Batching()
    _check_name(name)
    _check_batching(batching)
    manifest = _read_manifest(artefact)
    _check_manifest(artefact, manifest)
    if manifest["format"] == "tensorrt" and batching.device != "gpu":
        batching = batching._replace(device="gpu")
    names = class_names if class_names is not None else manifest["class_names"]
    classes = manifest["config"]["num_classes"]
    if names is not None and len(names) != classes:
        raise ValueError(
            f"class_names must have one name for each of {classes} classes, got {len(names)}"
        )
    check_repository(directory, name)
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=directory) as folder:
        model = Path(folder) / name
        (model / VERSION).mkdir(parents=True)
        shutil.copyfile(artefact, model / VERSION / BACKENDS[manifest["format"]][1])
        lines = [str(each) for each in (names or range(classes))]
        (model / LABELS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        (model / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        config = model_config(name, manifest, batching)
        (model / "config.pbtxt").write_text(config, encoding="utf-8")
        os.replace(model, directory / name)
    return Served(directory / name, names is not None)


def check_repository(directory: Path, name: str) -> None:
    """Check that ``directory`` can take a model of that name.

    Raises:
        FileExistsError: the name is taken, or the folder holds something other than models.
        NotADirectoryError: it is a file.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file, not a folder for models")
    if (directory / name).exists():
        raise FileExistsError(
            f"{directory / name} exists; remove it or give the model another name"
        )
    strangers = [
        path.name for path in sorted(directory.iterdir()) if not (path / "config.pbtxt").is_file()
    ]
    if strangers:
        raise FileExistsError(
            f"{directory} is neither empty nor a model repository: {strangers[0]} has no "
            "config.pbtxt; give a new folder"
        )


def manifest_of(artefact: Path) -> Path:
    """The path of an artefact's manifest."""
    return artefact.with_name(f"{artefact.name}.manifest.json")


def _read_manifest(artefact: Path) -> dict[str, Any]:
    if not artefact.is_file():
        raise FileNotFoundError(f"artefact {artefact} does not exist")
    path = manifest_of(artefact)
    if not path.is_file():
        raise FileNotFoundError(
            f"{artefact} has no manifest {path.name} beside it, which mgnet-fast export writes"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"manifest {path} is damaged: {error}") from error
    return manifest


def _check_manifest(artefact: Path, manifest: dict[str, Any]) -> None:
    kind = manifest.get("format")
    if kind not in BACKENDS:
        raise ValueError(
            f"the server runs artefacts of format {' or '.join(BACKENDS)}, and {artefact.name} "
            f"is of format {kind}: export again with --format onnx"
        )
    if manifest["what"] != "loop":
        raise ValueError(
            f"a server runs the whole loop, and {artefact.name} is a {manifest['what']}: export "
            "again with --what loop"
        )
    names = tuple(each["name"] for each in manifest["outputs"])
    if names[: len(SERVED_NAMES)] != SERVED_NAMES:
        raise ValueError(
            f"the outputs of {artefact.name} do not have the batch first, as a server needs it: "
            "export again with --outputs batch-first"
        )
    lowest = manifest["input"]["batch"]["min"]
    if lowest != 1:
        raise ValueError(
            f"a server sends batches of any size from 1 on, and {artefact.name} takes {lowest} or "
            "more: export again with --batch 1:opt:max"
        )


def _check_name(name: str) -> None:
    if not name or not all(each.isalnum() or each in "_-." for each in name) or name[0] == ".":
        raise ValueError(
            f"name must be letters, digits, '_', '-' and '.', starting with a letter or digit, "
            f"got {name!r}"
        )


def _check_batching(batching: Batching) -> None:
    if batching.queue_delay_us < 0:
        raise ValueError(f"queue_delay_us must be at least 0, got {batching.queue_delay_us}")
    if batching.instances < 1:
        raise ValueError(f"instances must be at least 1, got {batching.instances}")
    if batching.device not in INSTANCE_KINDS:
        raise ValueError(f"device must be one of {list(INSTANCE_KINDS)}, got {batching.device!r}")
