"""Exports a network: write the file, run it, compare it, and only then give it its name."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..engine.exits import ExitRule
from ..models import GlimpseNetwork, MGNet
from .formats.known import Format, check_pair
from .formats.onnx import load_onnx
from .graphs.network_loop import Outputs
from .graphs.parts import check_exportable
from .graphs.step import loop_of_steps
from .manifest import build_manifest
from .options import ExportOptions
from .parity import Parity, measure_parity
from .sample import calibration_batches, sample_batches
from .tolerances import SAMPLE_IMAGES, TOLERANCES, Tolerances


class Exported(NamedTuple):
    """The files of an export, and how close the artefact is to the eager model.

    Without parity, the files ``artefact`` and ``manifest`` are not written; those of an earlier
    export stay. ``report`` is then that of the failed comparison. If the artefact cannot run on
    this machine, ``not_run`` gives the reason, and ``parity`` is that of the ONNX file it was
    built from.
    """

    artefact: Path
    manifest: Path
    report: Path
    parity: Parity
    not_run: str | None = None


def export_model(
    model: GlimpseNetwork,
    directory: str | os.PathLike[str],
    kind: str,
    options: ExportOptions | None = None,
    *,
    class_names: Sequence[str] | None = None,
    exit: ExitRule | None = None,
    sample: Iterable[Tensor] | None = None,
    calibration: Iterable[Tensor] | None = None,
    tolerances: Tolerances | None = None,
) -> Exported:
    """Write loop or step of ``model``, a manifest and a parity report into ``directory``.

    Everything is first written to a temporary folder. The artefact gets its name only after it was
    run and agreed with the eager float32 model. An engine that cannot run on this machine gets its
    name if the ONNX file it was built from agrees; report and manifest then say that the engine was
    not run.

    Args:
        model: the network; it is copied, not changed.
        directory: created if it does not exist.
        kind: ``"onnx"``, ``"aot"``, ``"tensorrt"`` or ``"tensorrt-rtx"``.
        options: what the program accepts.
        class_names: one per class, for the manifest.
        exit: the exit rule, for the manifest of a step.
        sample: batches to compare on, in the form the program takes (default: 64 images, more for
            lower precisions, see :func:`mgnet_fast.export.sample.sample_batches`).
        calibration: batches that set the range of int8 activations (default: 64 images of the
            same kind, different from the default sample).
        tolerances: default: those of the precision, ``TOLERANCES``.

    Raises:
        ValueError: ``kind`` is unknown or does not support the precision or part, or the options
            do not fit the network.
        TypeError: ``model`` is not a glimpse network. Steps, int8 and TensorRT engines need an
            :class:`MGNet`.
        ImportError: a library is missing.
        RuntimeError: the compiler or the GPU is missing.
    """
    options = options or ExportOptions()
    check_exportable(model, kind, options)
    form = check_pair(kind, options)
    model = copy.deepcopy(model).to("cpu").float().eval()
    manifest = build_manifest(model, options, kind=kind, class_names=class_names, exit=exit)
    name = form.file(options)
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    report, described = target / f"{name}.parity.json", target / f"{name}.manifest.json"
    missed = target / f"{name}.missed.json"
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target) as folder:
        unfinished = Path(folder)
        if options.precision == "int8":
            shown = calibration_batches(model, options) if calibration is None else calibration
            form.write(model, unfinished / name, options, calibration=shown)
        else:
            form.write(model, unfinished / name, options)
        form.describe(unfinished / name, manifest)
        run, not_run = _runnable(form, unfinished / name, model, options)
        images = SAMPLE_IMAGES[options.precision]
        parity = measure_parity(
            run,
            model,
            sample_batches(model, options, images) if sample is None else sample,
            num_glimpses=options.num_glimpses,
            tolerances=tolerances or TOLERANCES[options.precision],
        )
        run_or_not = {"artefact_was_run": not_run is None, "not_run": not_run}
        _write_json(unfinished / report.name, parity.to_dict() | run_or_not)
        if not parity.holds:
            os.replace(unfinished / report.name, missed)
            return Exported(target / name, described, missed, parity, not_run)
        missed.unlink(missing_ok=True)
        os.replace(unfinished / report.name, report)
        _write_json(unfinished / described.name, manifest | run_or_not)
        os.replace(unfinished / described.name, described)
        os.replace(unfinished / name, target / name)
    return Exported(target / name, described, report, parity, not_run)


def _runnable(
    form: Format, path: Path, model: GlimpseNetwork, options: ExportOptions
) -> tuple[Callable[[Tensor], Outputs], str | None]:
    """The file to compare with the eager model, and why it is not the artefact itself, or None."""
    reason = form.why_not_run(path)
    if reason is None:
        program = form.load(path)
    elif form.stand_in is None:
        raise RuntimeError(f"{path.name} cannot be run: {reason}")
    else:
        program = load_onnx(form.stand_in(path))
    if options.what == "step":
        assert isinstance(model, MGNet)  # see check_exportable
        return loop_of_steps(program, model, options), reason  # type: ignore[arg-type]
    return program, reason  # type: ignore[return-value]


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
