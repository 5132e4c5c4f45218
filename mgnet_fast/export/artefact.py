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
from .formats import FORMATS, Format
from .loop import Outputs
from .manifest import build_manifest
from .onnx import load_onnx
from .options import ExportOptions
from .parity import LOGIT_TOLERANCE, REGION_TOLERANCE, Parity, measure_parity
from .sample import sample_batches

SAMPLE_IMAGES = 64


class Exported(NamedTuple):
    """Where things are, and how near the artefact is to the eager model.

    Where parity does not hold there is no artefact and no manifest: only the report was written.
    Where the artefact cannot be run on this machine ``not_run`` says why, and ``parity`` is that
    of the ONNX file that it was built from.
    """

    artefact: Path
    manifest: Path
    report: Path
    parity: Parity
    not_run: str | None = None


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
    name only when it is whole, was run and agrees with the eager float32 model. An engine that
    cannot be run on this machine gets it if the ONNX file agrees that it was built from; report
    and manifest then say that the engine was not run.

    Args:
        model: the network; it is copied, not changed.
        directory: made if it does not exist.
        kind: ``"onnx"``, ``"aot"``, ``"tensorrt"`` or ``"tensorrt-rtx"``.
        options: what the program shall accept.
        class_names: one for each class, for the manifest.
        sample: batches to compare on, as the program takes them (default: 64 images, see
            :func:`mgnet_fast.export.sample.sample_batches`).
        logit_tolerance, region_tolerance, label_tolerance: see :class:`Parity`.

    Raises:
        ValueError: ``kind`` is unknown, or the options do not fit the network.
        ImportError: a library is missing.
        RuntimeError: the compiler or the GPU is missing.
    """
    if kind not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {kind!r}")
    form = FORMATS[kind]
    form.check()
    options = options or ExportOptions()
    model = copy.deepcopy(model).to("cpu").float().eval()
    manifest = build_manifest(model, options, kind=kind, class_names=class_names)
    name = form.file
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    report, described = target / f"{name}.parity.json", target / f"{name}.manifest.json"
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target) as folder:
        unfinished = Path(folder)
        form.write(model, unfinished / name, options)
        run, not_run = _runnable(form, unfinished / name)
        parity = measure_parity(
            run,
            model,
            sample_batches(model, options, SAMPLE_IMAGES) if sample is None else sample,
            num_glimpses=options.num_glimpses,
            logit_tolerance=logit_tolerance,
            region_tolerance=region_tolerance,
            label_tolerance=label_tolerance,
        )
        run_or_not = {"artefact_was_run": not_run is None, "not_run": not_run}
        _write_json(unfinished / report.name, parity.to_dict() | run_or_not)
        os.replace(unfinished / report.name, report)
        if parity.holds:
            _write_json(unfinished / described.name, manifest | run_or_not)
            os.replace(unfinished / described.name, described)
            os.replace(unfinished / name, target / name)
    return Exported(target / name, described, report, parity, not_run)


def _runnable(form: Format, path: Path) -> tuple[Callable[[Tensor], Outputs], str | None]:
    """What to compare with the eager model; why it is not the artefact itself, or None."""
    reason = form.why_not_run(path)
    if reason is None:
        return form.load(path), None
    if form.stand_in is None:
        raise RuntimeError(f"{path.name} cannot be run: {reason}")
    return load_onnx(form.stand_in(path)), reason


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
