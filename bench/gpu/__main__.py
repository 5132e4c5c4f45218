"""All GPU checks and measurements in one command, in under nine minutes.

python -m bench.gpu --out DIR             parity, then benchmarks; writes DIR/results.json
python -m bench.gpu --out DIR --dry-run   the same program on the CPU with tiny inputs
python -m bench.gpu --out DIR --tensorrt  engines of TensorRT and TensorRT-RTX, torch_tensorrt

Each part runs in its own process with a time limit, so that an illegal access or a hanging compiler
costs only that part. Results are written to disk at once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MEASURING = ("latency", "engine", "glimpse", "attention", "tnet", "tensorrt")


@dataclass(frozen=True)
class Part:
    """A part: its name, its time limit in seconds, and how to run it."""

    name: str
    seconds: int
    command: tuple[str, ...]
    environment: dict[str, str]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for results.json and logs")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, tiny, a minute")
    parser.add_argument("--tensorrt", action="store_true", help="only the engines of TensorRT")
    parser.add_argument("--measure", choices=MEASURING, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    device = "cpu" if arguments.dry_run else "cuda"
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.measure:
        return measure(arguments.measure, device, arguments.out)
    reason = why_not(device)
    if reason:
        print(reason)
        return 1
    environment = installed(arguments.out)
    if environment is None:
        return 1
    for former in arguments.out.glob("*.json"):
        former.unlink()
    failed = [
        part.name
        for part in parts(device, arguments.out, environment, tensorrt=arguments.tensorrt)
        if not run(part, arguments.out)
    ]
    rows = merge(arguments.out, failed)
    print_table(rows)
    print(f"\nwrote {arguments.out / 'results.json'}: {len(rows)} rows")
    if failed:
        print(f"failed: {', '.join(failed)}; see the logs beside it")
    elif not rows:
        print("nothing could be measured; the logs beside it say why")
    else:
        print("next: copy it to bench/results/NAME.json and run python -m bench.report")
    return 1 if failed else 0


def why_not(device: str) -> str | None:
    """Why nothing can be measured on ``device``, or None."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed: pip install torch"
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        return (
            "there is no CUDA device here: nothing can be measured "
            "(--dry-run tries the program out on the CPU)"
        )
    return None


def installed(out: Path) -> dict[str, str] | None:
    """The environment in which ``import mgnet_fast`` finds an install; builds one if needed."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "OMP_WAIT_POLICY": "passive"}
    probe = [sys.executable, "-c", "import mgnet_fast.functional"]
    if subprocess.run(probe, env=environment, capture_output=True, check=False).returncode == 0:
        return environment
    target = out.resolve() / "site"
    print(f"mgnet_fast is not installed: building it into {target}", flush=True)
    build = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps",
        "--no-build-isolation", "--upgrade", "--target", str(target), str(ROOT),
    ]  # fmt: skip
    if subprocess.run(build, check=False).returncode != 0:
        print("the build failed; it needs setuptools, pybind11, cmake and ninja installed")
        return None
    paths = [str(target), os.environ.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def parts(
    device: str, out: Path, environment: dict[str, str], *, tensorrt: bool = False
) -> Iterator[Part]:
    """The parts in order of importance: parity first."""
    # bench is a folder of the repository and is not installed.
    code = "import sys; sys.path.append(sys.argv.pop(1)); import runpy; "
    code += "runpy.run_module('bench.gpu', run_name='__main__')"
    program = (sys.executable, "-P", "-c", code, str(ROOT), "--out", str(out))
    dry = ("--dry-run",) if device == "cpu" else ()
    if tensorrt:
        measure_it = (*program, *dry, "--measure", "tensorrt")
        yield Part("tensorrt", 540, measure_it, environment)
        return
    pytest = (
        sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "--import-mode=importlib", str(ROOT / "tests" / "gpu"),
    )  # fmt: skip
    on_device = {**environment, "MGNET_FAST_TEST_DEVICE": device}
    yield Part("parity", 150, pytest, on_device)
    sanitizer = shutil.which("compute-sanitizer")
    if device == "cuda" and sanitizer:
        memcheck = (sanitizer, "--tool", "memcheck", "--error-exitcode", "9")
        yield Part("memcheck", 60, (*memcheck, *pytest, "-k", "memcheck"), on_device)
    limits = {"latency": 40, "engine": 115, "glimpse": 115, "attention": 30, "tnet": 30}
    for name, seconds in limits.items():
        yield Part(name, seconds, (*program, *dry, "--measure", name), environment)


def run(part: Part, out: Path) -> bool:
    """Run a part with its output in a log and its last line on the screen."""
    begin = time.monotonic()
    print(f"{part.name:10} up to {part.seconds} s ... ", end="", flush=True)
    log = out / f"{part.name}.log"
    with log.open("w", encoding="utf-8") as file:
        try:
            code = subprocess.run(
                part.command, env=part.environment, stdout=file, stderr=subprocess.STDOUT,
                timeout=part.seconds, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = None
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or [""]
    outcome = "out of time" if code is None else "ok" if code == 0 else f"FAILED ({code})"
    print(f"{outcome}, {time.monotonic() - begin:.0f} s: {lines[-1][:100]}", flush=True)
    # Rows measured before a timeout are valid; an unfinished parity suite is not.
    return code == 0 or (code is None and part.name in MEASURING)


def measure(what: str, device: str, out: Path) -> int:
    """Run one measuring part in this process and write each row at once."""
    from .. import rows
    from . import attention as gpu_attention
    from . import engine as gpu_engine
    from . import glimpse as gpu_glimpse
    from . import latency as gpu_latency
    from . import tensorrt as gpu_tensorrt
    from . import tnet as gpu_tnet
    from .device_time import DeviceClock

    clock = DeviceClock(device)
    seconds = 1.0 if device == "cuda" else 0.02
    found: list[rows.Row] = []
    is_dry = device == "cpu"
    sources: dict[str, Callable[[], Iterator[rows.Row | str]]] = {
        "latency": lambda: gpu_latency.rows(clock, seconds),
        "glimpse": lambda: gpu_glimpse.rows(
            clock, gpu_glimpse.TINY if is_dry else gpu_glimpse.CASES, seconds
        ),
        "attention": lambda: gpu_attention.rows(
            clock, gpu_attention.TINY if is_dry else gpu_attention.CASES, seconds / 3
        ),
        "engine": lambda: gpu_engine.rows(
            clock, gpu_engine.TINY if is_dry else gpu_engine.CASES, seconds
        ),
        "tnet": lambda: gpu_tnet.rows(clock, gpu_tnet.TINY if is_dry else gpu_tnet.CASES, seconds),
        "tensorrt": lambda: gpu_tensorrt.rows(clock, seconds, out),
    }
    for item in sources[what]():
        if isinstance(item, str):
            print(item, flush=True)
            continue
        found.append(item)
        rows.write(out / f"{what}.json", found)
        print(f"{item.op}, {item.case}, {item.dtype}, {item.backend} against {item.peer}: "
              f"{item.speedup.get('p50', float('nan')):.2f}", flush=True)  # fmt: skip
    red = [row for row in found if not row.deviation <= row.tolerance]
    print(f"{len(found)} rows, {len(red)} with red parity")
    return 1 if red else 0


def merge(out: Path, failed: list[str]) -> list[dict[str, Any]]:
    """All rows of the parts in one file, in the format of bench/results."""
    measured = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (out / f"{name}.json" for name in MEASURING)
        if path.exists()
    ]
    rows = [row for part in measured for row in part["rows"]]
    machine = measured[0]["machine"] if measured else None
    result = {"machine": machine, "failed": failed, "rows": rows}
    (out / "results.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "case", "dtype", "backend", "against", "us", "faster", "goal", "of copy")
    for row in rows:
        timed = row["deviation"] <= row["tolerance"]
        share = row["copy_share"]
        table.add_row(
            row["op"], row["case"], row["dtype"], row["backend"], row["peer"],
            f"{row['ours_seconds']['p50'] * 1e6:.1f}" if timed else "-",
            f"{row['speedup']['p50']:.2f}" if timed else "parity is red",
            f"{row['target']:g}" if row["target"] else "",
            f"{share:.0%}" if share else "",
        )  # fmt: skip
    Console(width=150).print(table)


if __name__ == "__main__":
    sys.exit(main())
