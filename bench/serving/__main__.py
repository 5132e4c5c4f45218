"""The service with early exits against plain dynamic batching, under Poisson arrivals.

python -m bench.serving --out FILE [--network mgnet_resnet18] [--minutes 9]

Client and services are processes of their own; the client has one core, the services share another
one and only the one that is measured has work. Arrivals, images and their order are the same for
all. The contestants take turns, round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import torch

from bench.rows import machine
from bench.serving.cases import CASES, Case
from bench.serving.contestant import KINDS
from bench.serving.load import Bodies, Loader, Seen, answers
from mgnet_fast.export import BatchRange, ExportOptions, export_model

LOADS = (0.5, 0.8, 0.95)
ROUNDS = 2
CAPACITY_SECONDS = 8.0
CLIENT_CORE, SERVER_CORE = 0, 1
TOLERANCE = 1e-3  # of the largest logit, between whole batches here and in ONNX Runtime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=CASES, default="mgnet_resnet18")
    parser.add_argument("--slots", type=int, default=16, help="also the largest batch")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything")
    parser.add_argument("--note", default="", help="about the machine, such as: under other load")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    end = time.perf_counter() + 60 * options.minutes
    cores = os.cpu_count() or 1
    pinned = cores > 1
    if pinned:
        os.sched_setaffinity(0, {CLIENT_CORE})
    torch.set_num_threads(1)
    case = CASES[options.network]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        artefact = _exported(case, options.slots, folder)
        addresses = {
            kind: stack.enter_context(_running(kind, case, options.slots, artefact, pinned))
            for kind in KINDS
        }
        result = asyncio.run(_measured(case, options.slots, addresses, end))
    result |= {
        "machine": machine(),
        "network": case.name,
        "slots": options.slots,
        "note": options.note,
        "cores": f"client on core {CLIENT_CORE}, services on core {SERVER_CORE}"
        if pinned
        else "client and services share one core",
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(result))
    return 0


def _exported(case: Case, slots: int, folder: Path) -> Path:
    pixels = torch.from_numpy(case.pixels())
    options = ExportOptions(BatchRange(1, slots // 2, slots), pixels.shape[1:3], "uint8")
    # compared with PyTorch on a few images; all contestants are compared on all images later
    return export_model(case.model(), folder, "onnx", options, sample=[pixels[:4]]).artefact


@contextmanager
def _running(kind: str, case: Case, slots: int, artefact: Path, pinned: bool) -> Iterator[str]:
    core = SERVER_CORE if pinned else -1
    command = [sys.executable, "-P", "-m", "bench.serving.contestant", kind, case.name]
    command += ["--slots", str(slots), "--core", str(core), "--artefact", str(artefact)]
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    settings = os.environ | {"PYTHONPATH": paths}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=settings) as program:
        try:
            assert program.stdout is not None
            address = program.stdout.readline().strip()
            if not address:
                raise RuntimeError(f"the service {kind} did not start")
            yield address
        finally:
            program.terminate()


async def _measured(
    case: Case, slots: int, addresses: dict[str, str], end: float
) -> dict[str, Any]:
    pixels = case.pixels()
    checked = await _checked({kind: await answers(addresses[kind], pixels) for kind in KINDS})
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
    ) as session:
        bodies = Bodies(pixels[:, None])
        loaders = {kind: Loader(session, addresses[kind], bodies) for kind in KINDS}
        capacity = await _capacities(loaders, slots)
        _say("capacity: " + ", ".join(f"{kind} {value:.1f}/s" for kind, value in capacity.items()))
        runs = list(_runs(capacity))
        seen: dict[tuple[str, str, float], Seen] = defaultdict(Seen)
        by_round: dict[tuple[str, str, float], list[float]] = defaultdict(list)
        left = ROUNDS * len(runs)
        for turn in range(ROUNDS):
            for kind, of, load in runs:
                # what is in flight at the end of a run takes a moment
                seconds = max(1.0, (end - time.perf_counter()) / left - 1.0)
                rate = load * capacity[of]
                seed = 10 * turn + LOADS.index(load)
                found = await loaders[kind].poisson(rate, seconds, seed)
                seen[kind, of, load].add(found)
                by_round[kind, of, load].append(float(np.percentile(found.latencies, 95)))
                left -= 1
                _say(f"{kind} at {rate:.1f}/s for {seconds:.0f} s; {left} runs left")
    rows = [
        _row(kind, of, load, capacity, seen[kind, of, load], by_round[kind, of, load])
        for kind, of, load in runs
    ]
    return {"check": checked, "capacity": capacity, "rows": rows, "goals": _goals(capacity, rows)}


async def _checked(found: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """Parity before anything is timed."""
    plain, other, early = (found[kind] for kind in ("batches", "onnxruntime", "exits"))
    largest = float(np.abs(plain["logits"]).max())
    deviation = float(np.abs(plain["logits"] - other["logits"]).max()) / largest
    full = early["glimpses"] == plain["glimpses"]
    same = bool((early["logits"][full] == plain["logits"][full]).all())
    if deviation > TOLERANCE or not same:
        raise ValueError(f"the contestants disagree: {deviation:g}, same bits: {same}")
    return {
        "deviation of ONNX Runtime": deviation,
        "tolerance": TOLERANCE,
        "images with all glimpses have the same bits with and without exits": same,
        "mean glimpses with exits": float(early["glimpses"].mean()),
    }


async def _capacities(loaders: dict[str, Loader], slots: int) -> dict[str, float]:
    """Images a second when there is always a full batch waiting; the better of two turns."""
    best: dict[str, float] = defaultdict(float)
    for _ in range(2):
        for kind, loader in loaders.items():
            seen = await loader.full(CAPACITY_SECONDS / 2, 2 * slots)
            best[kind] = max(best[kind], len(seen.latencies) / seen.seconds)
    return dict(best)


def _runs(capacity: dict[str, float]) -> Iterator[tuple[str, str, float]]:
    """(who, of whose capacity, which share): all at equal loads, then each at its own."""
    for load in LOADS:
        for kind in KINDS:
            if load * capacity["batches"] < LOADS[-1] * capacity[kind] + 1e-9:
                yield kind, "batches", load
    for load in LOADS:
        for kind in ("exits", "onnxruntime"):
            yield kind, kind, load


def _row(
    kind: str,
    of: str,
    load: float,
    capacity: dict[str, float],
    seen: Seen,
    p95_by_round: list[float],
) -> dict[str, Any]:
    p50, p95, p99 = np.percentile(seen.latencies, [50, 95, 99])
    return {
        "contestant": kind,
        "load": f"{load:.0%} of the capacity of {of}",
        "arrivals_per_second": load * capacity[of],
        "answered": len(seen.latencies),
        "failed": seen.failed,
        "throughput": len(seen.latencies) / seen.seconds,
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "p95_by_round": p95_by_round,
        "mean_glimpses": float(np.mean(seen.glimpses)),
        "p99_sent_late": float(np.percentile(seen.late, 99)),
    }


def _goals(capacity: dict[str, float], rows: list[dict[str, Any]]) -> dict[str, Any]:
    p95 = {(row["contestant"], row["load"]): row["p95"] for row in rows}
    loads = [f"{load:.0%} of the capacity of batches" for load in LOADS]
    return {
        "capacity over that of plain dynamic batching (goal 1.6)": capacity["exits"]
        / capacity["batches"],
        "p95 over that of plain dynamic batching at equal load (goal 0.5)": {
            load: p95["exits", load] / p95["batches", load] for load in loads
        },
    }


def table(result: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        "| service | arrivals | p50 ms | p95 ms | p99 ms | answers a second | requests |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        p50, p95, p99 = (f"{1e3 * row[name]:.0f}" for name in ("p50", "p95", "p99"))
        lines.append(
            f"| {KINDS[row['contestant']]} | {row['load']}: {row['arrivals_per_second']:.1f}/s | "
            f"{p50} | {p95} | {p99} | {row['throughput']:.1f} | {row['answered']} |"
        )
    return "\n".join([*lines, "", json.dumps(result["goals"], indent=1)])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
