"""``mgnet-fast predict``: classify image files, one row each."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any

import typer

from ..interruption import terminated_like_interrupted
from ..options import bulk
from ..options import shared as options
from ..options.engine import (
    SAMPLES,
    Artefact,
    CalibrationImages,
    Precision,
    Runner,
    Slots,
    Weights,
)
from ..options.exits import Exit, Threshold, exit_rule
from ..options.reading import AllowTruncated, Decode, IgnoreExif
from ..scoring_report import ScoringReport

if TYPE_CHECKING:
    from ...bulk.folder import Part, PartFolder
    from ...bulk.job import Job
    from ...bulk.scoring import Scorer


def predict(
    paths: bulk.Paths = None,
    files_from: bulk.FilesFrom = None,
    checkpoint: options.Checkpoint = None,
    out: bulk.Out = None,
    form: bulk.Form = None,
    part_size: bulk.PartSize = 5000,
    shard: bulk.ShardOption = None,
    leave: Exit = "confidence",
    threshold: Threshold = None,
    slots: Slots = 32,
    precision: Precision = "fp32",
    weights: Weights = "fp32",
    calibration_images: CalibrationImages = None,
    runner: Runner = "auto",
    artefact: Artefact = None,
    decode: Decode = "auto",
    ignore_exif: IgnoreExif = False,
    allow_truncated: AllowTruncated = False,
    readers: bulk.Readers = None,
    progress: bulk.ProgressOption = "auto",
    ray: bulk.RayAddress = None,
    workers: bulk.WorkersOption = None,
    threads: options.Threads = None,
    device: options.Device = "cpu",
) -> None:
    """Classify image files.

    Unreadable files are reported and skipped; a folder of results has rows for them, with the
    reason. Repeating a command whose output is a folder goes on after the last finished part.
    """
    from ...bulk.formats import check_format
    from ...bulk.job import Job
    from ...bulk.scoring import Network, Settings
    from ...bulk.units import Shard, units_of
    from ...data.sources.listing import find_sources
    from ...threads import fixed_threads

    target = bulk.target_of(out, form)
    bulk.check_ray(ray, workers, target)
    check_format(target.form)
    share = Shard() if shard is None else Shard.parse(shard)
    settings = Settings(
        checkpoint=None if checkpoint is None else str(checkpoint),
        exit=exit_rule(leave, threshold),
        slots=slots,
        precision=precision,
        weights=weights,
        runner=runner,
        artefact=None if artefact is None else str(artefact),
        decode=decode,
        ignore_exif=ignore_exif,
        allow_truncated=allow_truncated,
        device=device,
        readers=readers,
    )
    names, missing = find_sources(paths or (), files_from or ())
    if not names:
        raise ValueError(f"no image files found in {', '.join([*missing, *(files_from or ())])}")
    units = units_of(names, part_size)
    samples = calibration_images or (SAMPLES if precision == "int8" else 0)
    job = Job(settings, Network(settings), units, share, part_size, samples)
    with ExitStack() as stack:
        stack.enter_context(terminated_like_interrupted())
        stack.enter_context(fixed_threads(threads))
        run = _Run(job, missing, progress, target, stack)
        if target.folder is None:
            skipped = run.to_lines()
        elif ray is None:
            skipped = run.to_folder()
        else:
            skipped = run.on_ray(None if ray == bulk.RUNNING else ray, workers, threads or 1)
    if skipped:
        raise typer.Exit(1)


class _Run:
    """A job with its output and its messages. The methods return how many files were skipped."""

    def __init__(
        self, job: Job, missing: list[str], progress: Any, target: bulk.Target, stack: ExitStack
    ) -> None:
        self.job, self.missing, self.progress = job, missing, progress
        self.target, self.stack = target, stack

    def to_lines(self) -> int:
        """Rows into one file or standard output; unreadable files in messages only."""
        from ...bulk.formats import line_writer
        from ...bulk.units import items_of

        scorer = self.job.scorer()
        file = sys.stdout
        if self.target.file is not None:
            opened = self.target.file.open("w", encoding="utf-8", newline="")
            file = self.stack.enter_context(opened)
        report = self._report(None)
        self._say_deviation(report, scorer)
        write = line_writer(file, self.target.form, self.job.network.classes)
        items = (item for unit in self.job.mine for item in items_of(unit))
        for item, row in scorer.rows(items, self.job.readers):
            if row.error is None:
                write(row)
            report.count(item, row)
        report.summarise(scorer.engine.runner)
        return report.skipped

    def to_folder(self) -> int:
        """Parts into a folder."""
        from ...bulk.run import open_work, score_units

        folder, finished = self._claimed()
        work = open_work(self.job.mine, finished)
        report = self._report(finished)
        if not work:
            return self._nothing_to_do(report, folder, finished)
        scorer = self.job.scorer(folder.manifest.runner)
        self._say_deviation(report, scorer)
        folder = folder.started(self.job.shard, self.job.mine, scorer.engine.runner)
        report.skipped_before(folder.errors(chain(*finished.values())))
        score_units(scorer, folder, work, self.job.part_size, self.job.readers, report.count)
        report.summarise(scorer.engine.runner)
        return report.skipped

    def on_ray(self, address: str | None, wanted: int | None, threads: int) -> int:
        """Parts into a folder, by workers on a cluster."""
        from ...bulk.on_ray import connect, score_on_ray, workers_for
        from ...bulk.run import open_work

        folder, finished = self._claimed()
        work = open_work(self.job.mine, finished)
        report = self._report(finished)
        if not work:
            return self._nothing_to_do(report, folder, finished)
        cluster = connect(address)
        workers = workers_for(cluster, wanted, threads, self.job.settings.device, len(work))
        folder = folder.started(self.job.shard, self.job.mine, None)
        report.skipped_before(folder.errors(chain(*finished.values())))
        for result in score_on_ray(cluster, self.job, folder, work, workers, threads):
            report.count_unit(result)
        report.summarise(f"{workers} worker{'s' if workers > 1 else ''} on Ray")
        return report.skipped

    def _claimed(self) -> tuple[PartFolder, dict[int, list[Part]]]:
        """The output folder and what is finished there; nobody else writes to it now."""
        from ...bulk.folder import claimed

        path = self.target.folder
        assert path is not None
        self.stack.enter_context(claimed(path, self.job.shard))
        folder = self.job.folder(path, self.target.form)
        return folder, folder.parts(self.job.mine)

    def _report(self, finished: dict[int, list[Part]] | None) -> ScoringReport:
        from ...bulk.expected import Expected

        report = ScoringReport(
            Expected(self.job.mine, finished),
            self.progress,
            beside_results=finished is None and self.target.file is None,
            errors_kept=finished is not None,
        )
        for name in self.missing:
            report.skip(name, "there is no such file, and no pattern or folder with image files")
        return self.stack.enter_context(report)

    def _nothing_to_do(
        self, report: ScoringReport, folder: PartFolder, finished: dict[int, list[Part]]
    ) -> int:
        done = sum(parts[-1].stop for parts in finished.values())
        what = f"all {done:,} images are done" if self.job.mine else "this shard has no images"
        report.say(f"nothing to do: {what}")
        report.skipped_before(folder.errors(chain(*finished.values())))
        return report.skipped

    def _say_deviation(self, report: ScoringReport, scorer: Scorer) -> None:
        engine = scorer.engine
        if engine.deviation is not None:
            stored = "" if engine.weights == "fp32" else f" with weights in {engine.weights}"
            report.say(f"{engine.precision}{stored} against float32 {engine.deviation}")
