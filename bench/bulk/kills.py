"""Kills ``mgnet-fast predict`` at random and looks whether the result is that of a quiet run.

python -m bench.bulk.kills --work DIR --out FILE [--images 20000] [--kills 10] [--seed 0]

The images are files in a folder and in tar shards, some of them damaged. Every run but the last is
killed (SIGKILL) at a random time. Between kills every part must be readable. At the end each image
must be there once, in order, with the same row as in a run that nobody disturbed. Exit code 1 if
not.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.bulk.million import write_shard
from bench.bulk.scenes import jpeg_scenes, order_of
from bench.rows import machine

SCENES = 500
DAMAGED_EVERY = 97
IN_SHARD = 2500
PART = 500


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for images and results")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the finding")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    inputs = make_images(options.work, options.images)
    quiet, killed = options.work / "quiet.parquet", options.work / "killed.parquet"
    run(inputs, quiet).wait()
    draw = random.Random(options.seed)
    kills = [kill_at_random(inputs, killed, draw, options) for _ in range(options.kills)]
    last = run(inputs, killed).wait()
    wanted, found = read(quiet), read(killed)
    paths = [row["path"] for row in found]
    finding = {
        "holds": found == wanted and len(set(paths)) == len(paths) == options.images,
        "images": len(paths),
        "twice": len(paths) - len(set(paths)),
        "lost": len({row["path"] for row in wanted} - set(paths)),
        "other_rows": sum(a != b for a, b in zip(found, wanted, strict=False)),
        "unreadable": sum(row["error"] is not None for row in found),
        "exit_code_of_last_run": last,  # 1: some files are unreadable
        "part_size": PART,
        "seed": options.seed,
        "kills": kills,
    }
    content = {"machine": machine(), "finding": finding}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(finding), flush=True)
    return 0 if finding["holds"] else 1


def make_images(work: Path, count: int) -> list[str]:
    """Half of the images as files, half in tar shards; every 97th is damaged."""
    scenes = jpeg_scenes(SCENES)
    damaged = scenes[0][:200]
    folder = work / "images"
    folder.mkdir(parents=True, exist_ok=True)
    loose = count // 2
    for place, number in enumerate(order_of(0, loose, SCENES)):
        content = damaged if place % DAMAGED_EVERY == 0 else scenes[number]
        (folder / f"{place:06}.jpg").write_bytes(content)
    inputs = [str(folder)]
    for shard, start in enumerate(range(loose, count, IN_SHARD), 1):
        path = work / f"shard-{shard:03}.tar"
        order = order_of(shard, min(IN_SHARD, count - start), SCENES)
        write_shard(path, order, [*scenes[:-1], damaged])
        inputs.append(str(path))
    return inputs


def run(inputs: list[str], out: Path) -> subprocess.Popen[bytes]:
    words = ["predict", *inputs, "--out", str(out), "--part-size", str(PART)]
    options = ["--runner", "packed", "--threads", "1", "--progress", "none"]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "mgnet_fast", *words, *options],
        stderr=subprocess.DEVNULL,
    )


def kill_at_random(
    inputs: list[str], out: Path, draw: random.Random, options: argparse.Namespace
) -> dict[str, Any]:
    """Start a run, and kill it within a few parts; between two parts, or before the first."""
    before = len(parts(out))
    more, wait = draw.randint(0, options.images // PART // 8), draw.random()
    process = run(inputs, out)
    start = time.perf_counter()
    while process.poll() is None and len(parts(out)) < before + more:
        time.sleep(0.002)
    time.sleep(wait * (10 if more == 0 else 1))
    process.kill()
    ended = process.wait()
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "parts_before": before,
        "parts_after": len(parts(out)),
        "images_after": len(read(out)),  # raises if a part cannot be read
        "unfinished_files": len(list(out.glob(".*.unfinished"))) if out.exists() else 0,
        "exit_code": ended,
    }


def parts(out: Path) -> list[Path]:
    return sorted(out.glob("part-*.parquet"))


def read(out: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as parquet

    return [row for path in parts(out) for row in parquet.read_table(path).to_pylist()]


if __name__ == "__main__":
    sys.exit(main())
