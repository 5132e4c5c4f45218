"""What a step of training takes on one core, and where it goes: float32, bfloat16, layout, batch.

    python -m bench.studies.training_step --data DIR --out ROWS.json [--rounds N]

Steps of the variants alternate in one process. Seconds are processor time, because the studies ran
on a busy machine; ratios are those of neighbouring steps. The profile gives shares of the time of
ten float32 steps.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from bench.interleaved import Spread
from bench.rows import machine
from mgnet_fast.data import load_dataset
from mgnet_fast.models import create_model
from mgnet_fast.training import Trainer, get_recipe

# name: precision, channels_last, batch
VARIANTS = {
    "fp32": ("fp32", True, 64),
    "bf16": ("bf16", True, 64),
    "fp32, contiguous": ("fp32", False, 64),
    "fp32, batch 128": ("fp32", True, 128),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.training_step")
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST's files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (load_dataset("translated-mnist", given.data, each) for each in ("train", "test"))
    steps = {}
    for name, (precision, is_last, batch) in VARIANTS.items():
        torch.manual_seed(0)
        model = create_model("mgnet_toy", antialias=True).train()
        if is_last:
            model = model.to(memory_format=torch.channels_last)
        trainer = Trainer(
            model, train, test, get_recipe("default", batch_size=batch), precision=precision
        )
        given_batch = next(train.batches(batch, shuffle=True))
        steps[name] = lambda trainer=trainer, batch=given_batch: trainer.step(*batch)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(given.rounds + 2):  # the first two warm up
        for name, step in steps.items():
            start = time.process_time()
            step()
            if turn > 1:
                seconds[name].append((time.process_time() - start) / VARIANTS[name][2])
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(10):
            steps["fp32"]()
    events = sorted(seen.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    rows = {
        "machine": machine(),
        "model": "mgnet_toy, antialias, T = 3, scenes of 112 pixels",
        "images_per_round": {name: VARIANTS[name][2] for name in steps},
        "microseconds_per_image": {
            name: {key: 1e6 * each for key, each in vars(Spread.of(times)).items()}
            for name, times in seconds.items()
        },
        "times_faster_than_fp32": {
            name: vars(Spread.of([a / b for a, b in zip(seconds["fp32"], times, strict=True)]))
            for name, times in seconds.items()
        },
        "share_of_time": {e.key: round(e.self_cpu_time_total / total, 4) for e in events[:12]},
    }
    given.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
