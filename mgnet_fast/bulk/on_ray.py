"""Scores units on a Ray cluster, through Ray Data."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .folder import PartFolder
from .job import Job
from .rows import Row
from .run import score_units
from .scoring import Network, Scorer, Settings
from .units import Item, Unit

_INSTALL = "Ray is needed: pip install 'mgnet-fast[ray]'"


@dataclass
class UnitResult:
    """What this run did of a unit, which is finished now.

    Attributes:
        number: of the unit.
        done: images done, the unreadable ones among them.
        images: of the whole unit, those of earlier runs among them.
        errors: path and reason of images that could not be read.
        further_errors: such images of parts that another worker finished before it died.
    """

    number: int
    done: int
    images: int
    errors: list[tuple[str, str]] = field(default_factory=list)
    further_errors: int = 0


class UnitWorker:
    """Scores units into an output folder; one engine for all of them.

    A unit that another worker had begun goes on after its last finished part.
    """

    def __init__(
        self,
        settings: Settings,
        network: Network,
        calibration: list[Tensor] | None,
        folder: PartFolder,
        part_size: int,
        readers: int,
        threads: int,
    ) -> None:
        torch.set_num_threads(threads)
        self._scorer = Scorer(settings, network, calibration)
        self._folder, self._part_size, self._readers = folder, part_size, readers

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The results of the units of a batch; both are pickled."""
        results = [self._score(*pickle.loads(work)) for work in batch["work"]]
        return {"result": [pickle.dumps(result) for result in results]}

    def _score(self, unit: Unit, start: int) -> UnitResult:
        parts = self._folder.parts([unit])[unit.number]
        reached = parts[-1].stop if parts else 0
        result = UnitResult(unit.number, reached - start, reached)
        result.further_errors = self._folder.errors([part for part in parts if part.start >= start])

        def seen(item: Item, row: Row) -> None:
            result.done += 1
            result.images += 1
            if row.error is not None:
                result.errors.append((row.path, row.error))

        if not parts or not parts[-1].is_end:
            work = [(unit, reached)]
            score_units(self._scorer, self._folder, work, self._part_size, self._readers, seen)
        return result


def connect(address: str | None) -> Any:
    """The module ``ray``, connected: "local" starts a cluster here, None takes a running one or
    starts one, anything else is an address.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: no cluster answers.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    if not ray.is_initialized():
        alone = address in (None, "local")  # it may be a new one, which needs no web page
        new: dict[str, Any] = {"include_dashboard": False} if alone else {}
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING, **new)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False  # the command has its own
    return ray


def workers_for(ray: Any, wanted: int | None, threads: int, device: str, work: int) -> int:
    """The number of workers: ``wanted``, or what the cluster has room for; at most one a unit.

    Raises:
        ValueError: the cluster has no room for ``wanted``.
    """
    gpu = device.startswith("cuda")
    resources = ray.cluster_resources()
    room = int(resources.get("GPU", 0)) if gpu else int(resources.get("CPU", 0)) // threads
    if (wanted or 1) > room:
        what = "GPUs" if gpu else f"CPUs / {threads} threads"
        raise ValueError(f"workers must be at most {room}, the cluster's {what}, got {wanted or 1}")
    return max(1, min(wanted or room, work))


def score_on_ray(
    ray: Any,
    job: Job,
    folder: PartFolder,
    work: Sequence[tuple[Unit, int]],
    workers: int,
    threads: int,
    worker: type[UnitWorker] = UnitWorker,
) -> Iterator[UnitResult]:
    """Score units on ``workers`` workers; yield the result of each as it is finished.

    The folder must be one that all machines of the cluster share. A worker that dies is replaced,
    and its unit goes on after the last finished part.
    """
    rows = [{"work": pickle.dumps(each)} for each in work]
    arguments = (
        job.settings,
        job.network,
        job.calibration(),
        folder,
        job.part_size,
        job.readers,
        threads,
    )
    data = ray.data.from_items(rows, override_num_blocks=min(len(rows), 1000)).map_batches(
        worker,
        fn_constructor_args=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=threads,
        num_gpus=1 if job.settings.device.startswith("cuda") else None,
    )
    for row in data.iter_rows():
        yield pickle.loads(row["result"])
