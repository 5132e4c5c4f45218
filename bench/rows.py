"""A benchmark row, the facts about machine and versions that go with rows, and their files."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mgnet_fast import __version__, env

from .interleaved import Comparison

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One comparison. Times in seconds a call, ``speedup`` = time of the peer / time of ours."""

    suite: str
    op: str
    case: str
    backend: str
    dtype: str
    peer: str
    threads: int
    deviation: float
    tolerance: float
    ours_seconds: dict[str, float] = field(default_factory=dict)
    peer_seconds: dict[str, float] = field(default_factory=dict)
    speedup: dict[str, float] = field(default_factory=dict)
    pairs: int = 0
    median_interval: tuple[float, float] | None = None  # of ``speedup``, 95 %
    target: float | None = None
    bytes_moved: int | None = None  # sectors that must be read, and the result
    copy_share: float | None = None  # of the speed of a device copy, or of reading on a CPU
    ours_peak_bytes: int | None = None
    peer_peak_bytes: int | None = None

    def measured(self, comparison: Comparison) -> Row:
        return Row(
            **{
                **asdict(self),
                "ours_seconds": asdict(comparison.ours),
                "peer_seconds": asdict(comparison.peer),
                "speedup": asdict(comparison.speedup),
                "pairs": comparison.pairs,
                "median_interval": comparison.median_interval,
            }
        )


def machine() -> dict[str, Any]:
    """Device, versions and commit: what a row cannot be read without."""
    facts = env.collect()
    return {
        "mgnet_fast": __version__,
        "commit": _commit(),
        "processor": facts["processor"],
        "instruction_set": facts["extension"],
        "gpus": facts["gpus"],
        "cuda": facts["cuda of torch"],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": {name: version for name, version in facts["packages"].items() if version},
    }


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
