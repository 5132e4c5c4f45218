"""``mgnet-fast predict``: classify image files, one line each."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ..options import shared as options
from ..options.engine import (
    SAMPLES,
    Artefact,
    CalibrationImages,
    Precision,
    Runner,
    Weights,
    first_images,
)
from ..options.exits import ExitKind, exit_rule
from ..options.option import option
from ..options.reading import AllowTruncated, Decode, IgnoreExif, is_lazy

if TYPE_CHECKING:
    import numpy as np

    from ...data.reading.file_image import FileImage
    from ...data.reading.options import ReadOptions
    from ...engine import Engine, Prediction

COLUMNS = ("path", "label", "probability", "glimpses", "finite")


Format = Literal["jsonl", "csv"]
"""The format of the results."""


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATHS...", help="Image files, folders, patterns such as '*.png'."),
    ],
    checkpoint: options.Checkpoint = None,
    out: Annotated[
        Path | None, option("FILE", "File for the results.", show_default="standard output")
    ] = None,
    form: Annotated[
        Format | None,
        option(
            "NAME", "jsonl or csv.", "--format", show_default="by the suffix of --out, else jsonl"
        ),
    ] = None,
    leave: Annotated[
        ExitKind, option("NAME", "confidence, margin, entropy or never.", "--exit")
    ] = "confidence",
    threshold: Annotated[
        float | None,
        option("X", "Threshold of the exit rule.", show_default="0.9, 0.8, 0.3 by --exit"),
    ] = None,
    slots: Annotated[int, option("N", "Number of images in flight.", min=1)] = 32,
    precision: Precision = "fp32",
    weights: Weights = "fp32",
    calibration_images: CalibrationImages = None,
    runner: Runner = "auto",
    artefact: Artefact = None,
    decode: Decode = "auto",
    ignore_exif: IgnoreExif = False,
    allow_truncated: AllowTruncated = False,
    threads: options.Threads = None,
    device: options.Device = "cpu",
) -> None:
    """Classify image files. Unreadable files are reported and skipped."""
    from ...assets import toy_checkpoint_path
    from ...data.image_files import find_images
    from ...data.reading.errors import large_images
    from ...data.reading.options import ReadOptions
    from ...engine import Engine
    from ...models.files.checkpoints import load_checkpoint
    from ...models.files.trained_on import read_trained_on
    from ...threads import fixed_threads
    from ...training.distributed import Workers, device_for

    files, missing = find_images(paths)
    if not files:
        raise ValueError(f"no image files found in {', '.join(missing)}")
    network = checkpoint or toy_checkpoint_path()
    model = load_checkpoint(network)
    trained = read_trained_on(network)
    classes = trained.classes if trained else None
    rule = exit_rule(leave, threshold)
    lazy = is_lazy(decode, model)
    reading = ReadOptions(model.config.in_chans, ignore_exif, allow_truncated)
    place = device_for(device, Workers())
    samples = calibration_images or (SAMPLES if precision == "int8" else 0)
    form = form or ("csv" if out is not None and out.suffix == ".csv" else "jsonl")
    with ExitStack() as stack:
        stack.enter_context(fixed_threads(threads))
        stack.enter_context(large_images())
        calibration = first_images(files, reading, samples) if samples else None
        engine = Engine(
            model,
            place,
            precision,
            slots,
            runner,
            artefact,
            exit=rule,
            calibration=calibration,
            weights=weights,
        )
        target = sys.stdout
        if out is not None:
            target = stack.enter_context(out.open("w", encoding="utf-8", newline=""))
        report = stack.enter_context(_Report(len(files) + len(missing), bar=out is not None))
        if engine.deviation is not None:
            stored = "" if weights == "fp32" else f" with weights in {weights}"
            report.say(f"{precision}{stored} against float32 {engine.deviation}")
        for name in missing:
            report.skip(name, "there is no such file, and no pattern or folder with image files")
        write = _writer(target, form, classes)
        for path, prediction in _predictions(engine, files, report, reading, lazy):
            write(path, prediction)
            report.count(prediction)
    report.summarise(engine.runner)
    if report.skipped:
        raise typer.Exit(1)


def _predictions(
    engine: Engine, files: list[Path], report: _Report, reading: ReadOptions, lazy: bool
) -> Iterator[tuple[Path, Prediction]]:
    from ...data.reading.file_image import FileImage

    waiting: deque[tuple[Path, FileImage | None]] = deque()

    def images() -> Iterator[np.ndarray | FileImage]:
        for path in files:
            try:
                image = _opened(path, reading, lazy)
            except (ValueError, OSError) as error:
                report.skip(str(path), getattr(error, "strerror", None) or str(error))
                continue
            # Without the pixels of arrays, which would stay in memory until their turn.
            waiting.append((path, image if isinstance(image, FileImage) else None))
            yield image

    for prediction in engine.stream(images(), read_ahead=engine.slots):
        path, opened = waiting.popleft()
        if opened is None or opened.error is None:
            yield path, prediction
        else:  # it turned out to be damaged, or has vanished
            report.skip(str(path), opened.error)


def _opened(path: Path, reading: ReadOptions, lazy: bool) -> np.ndarray | FileImage:
    from ...data.reading.file_image import open_file
    from ...data.reading.whole import read_image

    return open_file(path, reading) if lazy else read_image(path, reading)


def _writer(target: TextIO, form: Format, classes: tuple[str, ...] | None) -> Any:
    """Writes each result at once, so that an interruption loses none."""
    if form == "jsonl":

        def write_json(path: Path, prediction: Prediction) -> None:
            row = _row(path, prediction, classes)
            row["regions"] = [[round(x, 6) for x in r] for r in prediction.regions.tolist()]
            target.write(json.dumps(row) + "\n")
            target.flush()

        return write_json

    columns = COLUMNS if classes is None else ("path", "class", *COLUMNS[1:])
    table = csv.DictWriter(target, columns, lineterminator="\n")
    table.writeheader()

    def write_csv(path: Path, prediction: Prediction) -> None:
        table.writerow(_row(path, prediction, classes))
        target.flush()

    return write_csv


def _row(path: Path, prediction: Prediction, classes: tuple[str, ...] | None) -> dict[str, Any]:
    """A result as plain values; a label without a name is None."""
    probability = float(prediction.logits.softmax(0)[prediction.label])
    values = (
        str(path),
        prediction.label if prediction.finite else None,
        round(probability, 6) if prediction.finite else None,
        prediction.glimpses,
        prediction.finite,
    )
    row = dict(zip(COLUMNS, values, strict=True))
    if classes is not None:
        row["class"] = classes[prediction.label] if prediction.finite else None
    return row


class _Report:
    """Messages on standard error: a progress bar, skipped files, a summary."""

    def __init__(self, total: int, *, bar: bool) -> None:
        self.skipped = 0
        self._done = 0
        self._glimpses = 0
        self._screen = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        # Results on the same screen would run through the bar.
        shown = self._screen.is_terminal and (bar or not sys.stdout.isatty())
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            console=self._screen,
            transient=True,
            disable=not shown,
            redirect_stdout=False,
        )
        self._task = self._progress.add_task("", total=total, rate="")
        self._start = time.perf_counter()

    def __enter__(self) -> _Report:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._screen.print(text, style="dim")

    def skip(self, path: str, reason: str) -> None:
        self.skipped += 1
        self._screen.print(f"skipped: {path}: {reason}")
        self._progress.advance(self._task)

    def count(self, prediction: Prediction) -> None:
        self._done += 1
        self._glimpses += prediction.glimpses
        self._progress.update(self._task, advance=1, rate=self._rate())

    def summarise(self, runner: str) -> None:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        mean = f", {self._glimpses / self._done:.2f} glimpses each" if self._done else ""
        images = "image" if self._done == 1 else "images"
        self._screen.print(
            f"{self._done} {images}{mean}, {self._rate()} ({runner}){skipped}", style="dim"
        )

    def _rate(self) -> str:
        return f"{self._done / (time.perf_counter() - self._start):.3g} images/s"
