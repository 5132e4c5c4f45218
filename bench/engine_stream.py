"""A long stream through the engine: memory, answers compared with single images, compilations.

python -m bench.engine_stream [--images 10000] [--slots 16] [--runners packed compiled] [--out F]

The images are the shipped digits, at new places in every round. Exit code 1 if an image gets
another answer than alone, a logit differs by more than 1e-4, or anything was compiled meanwhile.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from bench.rows import machine
from mgnet_fast import Confidence, Engine, Prediction
from mgnet_fast.demo import load_model, load_scenes

EARLY = 1000  # images before the first reading of memory
LOGIT_BOUND = 1e-4


@dataclass(frozen=True)
class Finding:
    """The results of one runner.

    Attributes:
        mean_glimpses, accuracy, images_per_second: of the stream.
        early_bytes, late_bytes: resident memory after ``EARLY`` images and after all.
        other_labels: images with another label or number of glimpses than alone.
        largest_difference: of a logit, from the same image alone.
        compiled: graphs compiled after the first image.
    """

    runner: str
    images: int
    slots: int
    mean_glimpses: float
    accuracy: float
    images_per_second: float
    early_bytes: int
    late_bytes: int
    other_labels: int
    largest_difference: float
    compiled: int

    @property
    def holds(self) -> bool:
        return not (self.other_labels or self.compiled or self.largest_difference > LOGIT_BOUND)


class Answers:
    """The results of a stream, in memory allocated before it starts."""

    def __init__(self, count: int, classes: int) -> None:
        self.labels = np.full(count, -1)
        self.glimpses = np.full(count, -1)
        self.logits = np.full((count, classes), np.inf, dtype=np.float32)

    def keep(self, number: int, result: Prediction) -> None:
        self.labels[number] = result.label
        self.glimpses[number] = result.glimpses
        self.logits[number] = result.logits.numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--runners", nargs="+", default=["packed", "compiled"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the findings to this JSON file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    findings = []
    for runner in options.runners:
        findings.append(measure(runner, options.images, options.slots))
        print(_line(findings[-1]), flush=True)
    if options.out is not None:
        content = {"machine": machine(), "findings": [asdict(each) for each in findings]}
        options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if all(finding.holds for finding in findings) else 1


def measure(runner: str, count: int, slots: int) -> Finding:
    model = load_model()
    engine = Engine(model, slots=slots, runner=runner, exit=Confidence(0.9))
    alone = Engine(model, slots=1, runner=runner, exit=Confidence(0.9))
    for each in (engine, alone):
        each.predict(next(_scenes(1))[0])
    before = counters["stats"]["unique_graphs"]
    together, apart = (Answers(count, model.config.num_classes) for _ in range(2))
    early = 0
    start = time.perf_counter()
    for number, result in enumerate(engine.stream(_images(count)), 1):
        together.keep(number - 1, result)
        if number == min(EARLY, count):
            early = resident_bytes()
    seconds = time.perf_counter() - start
    late = resident_bytes()
    for number, image in enumerate(_images(count)):
        apart.keep(number, alone.predict([image])[0])
    labels = np.concatenate([labels for _, labels in _scenes(count)])
    other = (together.labels != apart.labels) | (together.glimpses != apart.glimpses)
    return Finding(
        runner=runner,
        images=count,
        slots=slots,
        mean_glimpses=float(together.glimpses.mean()),
        accuracy=float((together.labels == labels).mean()),
        images_per_second=count / seconds,
        early_bytes=early,
        late_bytes=late,
        other_labels=int(other.sum()),
        largest_difference=float(np.abs(together.logits - apart.logits).max()),
        compiled=counters["stats"]["unique_graphs"] - before,
    )


def _images(count: int) -> Iterator[Tensor]:
    return (image for batch, _ in _scenes(count) for image in batch)


def _scenes(count: int) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Batches of scenes and labels, ``count`` scenes in total, equal at every call."""
    scenes = load_scenes()
    for epoch in range(-(-count // len(scenes))):
        chosen = np.arange(min(len(scenes), count - epoch * len(scenes)))
        yield scenes.scenes(chosen, epoch=epoch), np.asarray(scenes.labels)[chosen]


def resident_bytes() -> int:
    """Memory of this process; where it is not told, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux: the peak instead
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _line(finding: Finding) -> str:
    early, late = finding.early_bytes / 2**20, finding.late_bytes / 2**20
    return (
        f"{finding.runner}, {finding.slots} slots, {finding.images} images: "
        f"{finding.images_per_second:.0f} images/s, {finding.mean_glimpses:.2f} glimpses, "
        f"{finding.accuracy:.2%} right; memory {early:.0f} MiB after {EARLY} images, {late:.0f} "
        f"after all; against one by one: {finding.other_labels} other answers, logits within "
        f"{finding.largest_difference:.2g} (bound {LOGIT_BOUND:g}); {finding.compiled} compilations"
    )


if __name__ == "__main__":
    sys.exit(main())
