"""The engine against what a user would run instead: FF-Net and MGNet in every runtime.

python -m bench.engine_peers --out bench/results/peers/NAME.json

ResNet-18 and -50, the toy network and EfficientNet-B0 at batch 1 and 16, on one and two threads, in
float32; and in bfloat16 and 8 bits on one thread. Every group of contestants runs turn by turn, see
:mod:`mgnet_fast.engine_peers`. An idle machine takes about 40 minutes, most of them for building.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.cpu.engine_cases import photos
from bench.peers_table import targets_reached
from bench.rows import machine
from mgnet_fast import create_model
from mgnet_fast.engine_peers import RUNNERS, Peer, compare_peers
from mgnet_fast.models import MGNet
from mgnet_fast.threads import fixed_threads

NETWORKS = {
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "efficientnet_b0": "EfficientNet-B0",
    "toy": "toy",
}
BATCHES = (1, 16)
_LOW = ("bf16", "int8")


def networks(name: str) -> tuple[MGNet, MGNet]:
    """MGNet and FF-Net on the backbone ``name``, with fixed random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {} if name == "toy" else {"num_classes": 100}
        pair = tuple(create_model(f"{kind}_{name}", **settings) for kind in ("mgnet", "ffnet"))
        if name.startswith("efficientnet"):
            for each in pair:
                _see_noise(each.backbone)
    glimpses, large = (each.eval() for each in pair)
    return glimpses, large


def _see_noise(backbone: nn.Module) -> None:
    """Set the statistics of batch norms; deep random networks give next to nothing without."""
    norms = [each for each in backbone.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain average
        norm.reset_running_stats()
    with torch.no_grad():
        backbone.train()(torch.randn(8, 3, 96, 96))


def images(name: str, count: int, seed: int = 0) -> Tensor:
    if name == "toy":
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(count, 1, 112, 112, generator=generator)
    return photos(count, seed)


def groups(chosen: list[str], threads: list[int], lowest: bool) -> Iterator[tuple[Any, ...]]:
    """Network, precision, threads and batch of every group."""
    for name in chosen:
        for count in threads:
            for batch in BATCHES:
                yield name, "fp32", count, batch
        if lowest:
            for precision in _LOW:
                for batch in BATCHES:
                    yield name, precision, threads[0], batch


def measured(
    name: str, precision: str, batch: int, seconds: float, runners: tuple[str, ...]
) -> list[Peer]:
    glimpses, large = networks(name)
    return compare_peers(
        glimpses,
        large,
        images(name, batch),
        seconds,
        runners=runners,
        precision=precision,
        calibration=images(name, 16, seed=1) if precision == "int8" else None,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.engine_peers", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the rows")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each group")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--float32-only", action="store_true")
    parser.add_argument("--compilers", action="store_true", help="torch.compile, too: an hour more")
    parser.add_argument("--note", default="", help="about the machine, such as: under other load")
    arguments = parser.parse_args()
    if max(arguments.threads) > 1 and os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive":
        parser.error(
            "OMP_WAIT_POLICY must not be passive with more than one thread: OpenMP's threads then "
            "sleep between layers, which nearly doubles ResNet-18 on two, got passive"
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    facts = machine()
    for name, precision, threads, batch in groups(
        arguments.networks, arguments.threads, not arguments.float32_only
    ):
        runners = (*RUNNERS, "compiled") if arguments.compilers and precision == "fp32" else RUNNERS
        start = time.perf_counter()
        with fixed_threads(threads):
            peers = measured(name, precision, batch, arguments.seconds, runners)
        case = {
            "network": NETWORKS[name],
            "precision": precision,
            "threads": threads,
            "batch": batch,
        }
        rows += [{**case, **asdict(peer)} for peer in peers]
        # After every group, so that an interrupted run is worth something.
        content = {"machine": facts, "note": arguments.note, "rows": rows}
        arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{case} in {time.perf_counter() - start:.0f} s", flush=True)
    print("\n".join(targets_reached(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
