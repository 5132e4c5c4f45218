"""Networks of all families side by side on the same scenes: accuracy, cost, latency, memory.

    python -m bench.networks FILE... --data DIR [--dataset NAME] [--threads N] [--out FILE.json]

FILEs are checkpoints of ``mgnet-fast train``. Prints a table in Markdown. Latencies are medians of
forward passes that take turns between the networks, so a busy machine slows all of them. Memory is
what a forward pass holds at most, without parameters and images (:mod:`bench.live_bytes`).
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.live_bytes import peak_bytes
from mgnet_fast import GlimpseNetwork, count_multiply_adds, load_checkpoint
from mgnet_fast.data import DATASETS, TranslatedMNIST, load_dataset
from mgnet_fast.evaluation import evaluate

BATCHES = (1, 32)
ROUNDS = 31


@dataclass(frozen=True)
class NetworkRow:
    """One network on the scenes.

    Attributes:
        name: of its run.
        count, correct: scenes, and right answers after the last step.
        interval: of the accuracy, 95 %.
        multiply_adds: of one image, as this package computes.
        milliseconds: from batch size to the median of a forward pass of the whole batch.
        parameters: number of weights.
        peak_bytes: at the largest batch.
    """

    name: str
    count: int
    correct: int
    interval: tuple[float, float]
    multiply_adds: int
    milliseconds: dict[int, float]
    parameters: int
    peak_bytes: int


@torch.inference_mode()
def rows_of(files: list[Path], scenes: TranslatedMNIST) -> list[NetworkRow]:
    networks: list[tuple[str, GlimpseNetwork]] = []
    for file in files:
        name = file.parent.name if file.stem == "model" else file.stem
        model = load_checkpoint(file).to(memory_format=torch.channels_last)
        networks.append((name, model))
    images = scenes.scenes(np.arange(max(BATCHES)))
    medians = {batch: _medians(networks, images[:batch]) for batch in BATCHES}
    found = []
    for at, (name, model) in enumerate(networks):
        accuracy = evaluate(model, scenes)
        found.append(
            NetworkRow(
                name,
                accuracy.count,
                accuracy.correct[-1],
                accuracy.interval[-1],
                count_multiply_adds(model, scenes.scene_size, "cached"),
                {batch: 1e3 * medians[batch][at] for batch in BATCHES},
                sum(each.numel() for each in model.parameters()),
                peak_bytes(lambda model=model: model(images)),
            )
        )
    return found


def _medians(networks: list[tuple[str, GlimpseNetwork]], images: Tensor) -> list[float]:
    seconds: list[list[float]] = [[] for _ in networks]
    for turn in range(ROUNDS + 3):  # the first three warm up
        for at, (_, model) in enumerate(networks):
            start = time.perf_counter()
            model(images)
            if turn >= 3:
                seconds[at].append(time.perf_counter() - start)
    return [float(np.median(each)) for each in seconds]


def table(rows: list[NetworkRow]) -> str:
    lines = [
        "| network | accuracy, % (95 %) | million multiply-adds | ms, batch 1 | ms, batch 32 "
        "| thousand weights | MB held at batch 32 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = (100 * limit for limit in row.interval)
        accuracy = f"{100 * row.correct / row.count:.2f} ({low:.2f} to {high:.2f})"
        times = " | ".join(f"{row.milliseconds[batch]:.2f}" for batch in BATCHES)
        lines.append(
            f"| {row.name} | {accuracy} | {row.multiply_adds / 1e6:.2f} | {times} "
            f"| {row.parameters / 1e3:.0f} | {row.peak_bytes / 1e6:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="checkpoints")
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's files")
    parser.add_argument("--dataset", choices=DATASETS, default="cluttered-mnist-32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the rows to this JSON file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = rows_of(given.files, load_dataset(given.dataset, given.data, "test"))
    if given.out is not None:
        text = json.dumps([asdict(row) for row in rows], indent=1)
        given.out.write_text(text + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
