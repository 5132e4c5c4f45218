"""A million images through one engine: memory, order, and every answer compared with that alone.

python -m bench.bulk.million --work DIR --out FILE [--images 1000000] [--scenes 10000]

The images are JPEG files of 112 pixels in tar shards, which are made on the fly in DIR and removed.
They are ``--scenes`` different scenes of digits in random order. Results go to DIR in parts. The
same command after an interruption goes on behind the last part; each process has one engine and one
stream. FILE gets the finding, and a reading of memory every 10,000 images. Exit code 1 if an image
is missing, twice, out of order, or has another answer than alone.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bench.bulk.scenes import jpeg_scenes, order_of
from bench.engine_stream import resident_bytes
from bench.rows import machine
from mgnet_fast.bulk.folder import Part, PartFolder, claimed
from mgnet_fast.bulk.formats import check_format
from mgnet_fast.bulk.manifest import Manifest
from mgnet_fast.bulk.rows import Row
from mgnet_fast.bulk.run import PART_SIZE, open_work, score_units
from mgnet_fast.bulk.scoring import Network, Scorer, Settings
from mgnet_fast.bulk.units import Item, Shard, Unit
from mgnet_fast.engine import Prediction

IN_SHARD = 10_000
EVERY = 10_000  # images between two readings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for shards and results")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the finding")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--scenes", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--runner", default="packed")
    options = parser.parse_args()
    check_format("parquet")
    torch.set_num_threads(1)
    files = jpeg_scenes(options.scenes)
    settings = Settings(runner=options.runner, slots=options.slots)
    network = Network(settings)
    alone = answers_alone(files, network, options.runner)
    print(f"{len(alone):,} scenes alone", flush=True)
    results = options.work / "results"
    with claimed(results, Shard()):
        log = run(options, files, alone, Scorer(settings, network), results)
    finding = check(options, alone, results, log)
    content = {"machine": machine(), "finding": finding, "log": log}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(finding), flush=True)
    return 0 if finding["holds"] else 1


def answers_alone(files: list[bytes], network: Network, runner: str) -> list[Prediction]:
    """What each scene gets in an engine of one slot, one image a call."""
    engine = Scorer(Settings(runner=runner, slots=1), network)
    return [
        row.prediction
        for number, data in enumerate(files)
        for _, row in engine.rows([Item(0, 0, str(number), data, True)])
        if row.prediction is not None
    ]


def run(
    options: argparse.Namespace,
    files: list[bytes],
    alone: list[Prediction],
    scorer: Scorer,
    results: Path,
) -> list[dict[str, float]]:
    """Score what is not there yet; returns the log of this and all earlier processes."""
    counts = [min(IN_SHARD, options.images - at) for at in range(0, options.images, IN_SHARD)]
    units = [
        Unit(number, (str(options.work / f"{number:05}.tar"),), None)
        for number in range(len(counts))
    ]
    manifest = Manifest("shipped", vars(scorer.settings) | {"exit": "0.9"}, {}, 1)
    folder = PartFolder(results, manifest, "parquet")
    finished = folder.parts(units)
    folder.started(Shard(), units, options.runner)
    reading = _Reading(options.work / "log.jsonl", options.scenes, alone)

    def work() -> Iterator[tuple[Unit, int]]:
        for unit, start in open_work(units, finished):
            shard = Path(unit.files[0])
            write_shard(shard, order_of(unit.number, counts[unit.number], options.scenes), files)
            yield unit, start
            shard.unlink()

    score_units(scorer, folder, work(), PART_SIZE, 1, reading.see)
    return reading.rows()


def write_shard(path: Path, order: list[int], files: list[bytes]) -> None:
    """A tar shard of scenes in this order, each with a label beside it as in webdataset."""
    with tarfile.open(path, "w") as shard:
        for place, number in enumerate(order):
            for name, data in (
                (f"{place:06}-{number}.jpg", files[number]),
                (f"{place:06}-{number}.cls", b"0"),
            ):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))


class _Reading:
    """Compares each answer as it comes, bit by bit, and reads the memory now and then."""

    def __init__(self, path: Path, scenes: int, alone: list[Prediction]) -> None:
        self._path, self._scenes, self._alone = path, scenes, alone
        self._process = time.time()
        self._done = self._other = self._out_of_order = 0
        self._order: tuple[int, list[int]] = (-1, [])
        self._start = time.perf_counter()

    def see(self, item: Item, row: Row) -> None:
        if self._order[0] != item.unit:
            self._order = item.unit, list(order_of(item.unit, IN_SHARD, self._scenes))
        number = self._order[1][item.place]
        self._out_of_order += f"{item.place:06}-{number}.jpg" not in row.path
        mine, alone = row.prediction, self._alone[number]
        self._other += mine is None or not (
            mine.glimpses == alone.glimpses
            and np.array_equal(mine.logits.numpy(), alone.logits.numpy())
            and np.array_equal(mine.regions.numpy(), alone.regions.numpy())
        )
        self._done += 1
        if self._done % EVERY == 0:
            with self._path.open("a") as file:
                file.write(json.dumps(self._row(item)) + "\n")

    def rows(self) -> list[dict[str, float]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def _row(self, item: Item) -> dict[str, float]:
        return {
            "process": round(self._process),
            "images": self._done,
            "shard": item.unit,
            "seconds": round(time.perf_counter() - self._start, 1),
            "resident_bytes": resident_bytes(),
            "other_than_alone": self._other,
            "out_of_order": self._out_of_order,
        }


def check(
    options: argparse.Namespace,
    alone: list[Prediction],
    results: Path,
    log: list[dict[str, float]],
) -> dict[str, object]:
    """Read all parts back: each image once, in order, with the answer it has alone."""
    import pyarrow.parquet as parquet

    parts = sorted(path for path in results.iterdir() if Part.parse(path.name) is not None)
    images = missing = other = glimpses = 0
    shard, place, order = -1, 0, order_of(0, 0, options.scenes)
    for path in parts:
        part = Part.parse(path.name)
        assert part is not None
        if part.unit != shard:
            shard, place, order = part.unit, 0, order_of(part.unit, IN_SHARD, options.scenes)
        for row in parquet.read_table(path).to_pylist():
            wanted = alone[order[place]]
            missing += f"{place:06}-{order[place]}.jpg" not in row["path"]
            other += (row["label"], row["glimpses"]) != (wanted.label, wanted.glimpses)
            glimpses += row["glimpses"]
            images += 1
            place += 1
    processes = sorted({row["process"] for row in log})
    early, late = log[0]["resident_bytes"], log[-1]["resident_bytes"]
    return {
        "holds": not (
            images != options.images
            or missing
            or other
            or any(row["other_than_alone"] or row["out_of_order"] for row in log)
        ),
        "images": images,
        "scenes": options.scenes,
        "slots": options.slots,
        "runner": options.runner,
        "processes": len(processes),
        "mean_glimpses": glimpses / max(images, 1),
        "missing_or_out_of_order": missing,
        "other_label_or_glimpses_than_alone": other,
        "resident_bytes_after_10000_images": early,
        "resident_bytes_at_the_end": late,
        "resident_bytes_most": max(row["resident_bytes"] for row in log),
        "seconds": sum(
            max(row["seconds"] for row in log if row["process"] == process) for process in processes
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
