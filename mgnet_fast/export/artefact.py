"""From a network to a file that was proven against it: write, run, compare, and only then name."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..models import MGNet
from .aot import load_aot, write_aot
from .loop import Outputs
from .manifest import build_manifest
from .onnx import load_onnx, write_onnx
from .options import ExportOptions
from .parity import LOGIT_TOLERANCE, REGION_TOLERANCE, Parity, measure_parity
from .sample import sample_batches

Writer = Callable[[MGNet, Path, ExportOptions], None]
Loader = Callable[[Path], Callable[[Tensor], Outputs]]

FORMATS: dict[str, tuple[str, Writer, Loader]] = {
    "onnx": ("loop.onnx", write_onnx, load_onnx),
    "aot": ("loop.pt2", write_aot, load_aot),
}
SAMPLE_IMAGES = 64


class Exported(NamedTuple):
    """Where things are, and how near the artefact is to the eager model.

    Where parity does not hold there is no artefact and no manifest: only the report was written.
    """

    artefact: Path
    manifest: Path
    report: Path
    parity: Parity


def export_model(
    model: MGNet,
    directory: str | os.PathLike[str],
    kind: str,
    options: ExportOptions | None = None,
    *,
    class_names: Sequence[str] | None = None,
    sample: Iterable[Tensor] | None = None,
    logit_tolerance: float = LOGIT_TOLERANCE,
    region_tolerance: float = REGION_TOLERANCE,
    label_tolerance: float = 0.0,
) -> Exported:
    """Writes the whole loop of ``model``, a manifest and a parity report into ``directory``.

    Everything is written into a folder of its own beside its place first. The artefact gets its
    name only when it is whole, was run and agrees with the eager float32 model.

    Args:
        model: the network; it is copied, not changed.
        directory: made if it does not exist.
        kind: ``"onnx"`` or ``"aot"``.
        options: what the program shall accept.
        class_names: one for each class, for the manifest.
        sample: batches to compare on, as the program takes them (default: 64 images, see
            :func:`mgnet_fast.export.sample.sample_batches`).
        logit_tolerance, region_tolerance, label_tolerance: see :class:`Parity`.

    Raises:
        ValueError: ``kind`` is unknown, or the options do not fit the network.
        ImportError: a library is missing.
        RuntimeError: the compiler is missing.
    """
    if kind not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {kind!r}")
    options = options or ExportOptions()
    model = copy.deepcopy(model).to("cpu").float().eval()
    manifest = build_manifest(model, options, kind=kind, class_names=class_names)
    name, write, load = FORMATS[kind]
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    report, described = target / f"{name}.parity.json", target / f"{name}.manifest.json"
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target) as folder:
        unfinished = Path(folder)
        write(model, unfinished / name, options)
        parity = measure_parity(
            load(unfinished / name),
            model,
            sample_batches(model, options, SAMPLE_IMAGES) if sample is None else sample,
            num_glimpses=options.num_glimpses,
            logit_tolerance=logit_tolerance,
            region_tolerance=region_tolerance,
            label_tolerance=label_tolerance,
        )
        _write_json(unfinished / report.name, parity.to_dict())
        os.replace(unfinished / report.name, report)
        if parity.holds:
            _write_json(unfinished / described.name, manifest)
            os.replace(unfinished / described.name, described)
            os.replace(unfinished / name, target / name)
    return Exported(target / name, described, report, parity)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
