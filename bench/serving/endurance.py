"""The service for an hour among clients that misbehave: nothing leaks, nobody else suffers.

python -m bench.serving.endurance --seconds 3600 --out FILE

One client asks as it should and compares every answer with the engine's own, bit for bit. Others
vanish in the middle of a request or of its answer, send nonsense, bodies above the limit, files
that are no images, and requests that are cut off. Memory and open files are those of the service.
Exit code 1 if a good request is not answered, or otherwise than by the engine alone; if the service
keeps anything of the others; or if memory grows after the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from bench.rows import machine
from bench.serving.cases import CASES, as_images
from bench.serving.load import Bodies
from bench.serving.misbehaviour import KINDS, Address, misbehave
from mgnet_fast import Engine
from mgnet_fast.demo import load_model

CASE = CASES["mgnet_toy"]
SLOTS = 8
BODY_MIB = 1
READINGS = 100  # of memory, in the whole run
GROWTH_ALLOWED = 16 << 20  # bytes after the first tenth: allocators settle late
BUSY, OK = 429, 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--note", default="", help="about the machine, such as: under other load")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with _service() as address:
        finding = asyncio.run(_endured(address, options.seconds))
    finding |= {"machine": machine(), "note": options.note}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(finding, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({**finding, "readings": "...", "machine": "..."}, indent=1))
    return 0 if finding["holds"] else 1


@contextmanager
def _service() -> Iterator[Address]:
    command = [sys.executable, "-P", "-m", "mgnet_fast", "serve", "--port", "0"]
    command += ["--runner", "packed", "--threads", "1", "--slots", str(SLOTS), "--queue", "32"]
    command += ["--max-body", str(BODY_MIB), "--timeout", "20"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as program,
    ):
        try:
            assert program.stdout is not None
            found = re.search(r"http://([\d.]+):(\d+)", program.stdout.readline())
            if found is None:
                raise RuntimeError("the service did not start")
            yield Address(found[1], int(found[2]))
        finally:
            program.terminate()
            program.wait(60)
            log.seek(0)
            said = log.read()
            if said:
                print(f"the service said: {said[-2000:]}", file=sys.stderr)


async def _endured(address: Address, seconds: float) -> dict[str, Any]:
    pixels = CASE.pixels()
    engine = Engine(load_model(), slots=1, runner="packed")
    alone = engine.predict(as_images(pixels))
    wanted = [(each.label, each.glimpses) for each in alone]
    good: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    readings: list[dict[str, float]] = []
    end = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        async with asyncio.TaskGroup() as group:
            for seed in range(2):
                group.create_task(
                    _ask_as_one_should(
                        session, address, Bodies(pixels[:, None]), wanted, end, seed, good
                    )
                )
            for seed in range(3):
                group.create_task(_misbehave_on(address, pixels, end, seed, bad))
            group.create_task(_read_on(session, address, end, seconds / READINGS, readings))
        await asyncio.sleep(2)  # what the last clients left behind is cleared meanwhile
        after = await _numbers(session, address)
    early = readings[len(readings) // 10]["process_resident_memory_bytes"]
    late = max(each["process_resident_memory_bytes"] for each in readings[-len(readings) // 10 :])
    kept = {
        name: after[name]
        for name in (
            "mgnet_images_accepted",
            "mgnet_bytes_accepted",
            "mgnet_slots_in_use",
            "mgnet_images_waiting",
        )
    }
    files = [each["process_open_fds"] for each in readings]
    wrong = {name: count for name, count in good.items() if name not in ("right", "busy")}
    return {
        "seconds": seconds,
        "good requests": dict(good),
        "misbehaviour": dict(bad),
        "memory after the first tenth": early,
        "most memory in the last tenth": late,
        "open files": {"first": files[0], "most": max(files), "after": after["process_open_fds"]},
        "kept after the end": kept,
        "dropped images": after["mgnet_images_dropped_total"],
        "holds": not wrong and not any(kept.values()) and late - early < GROWTH_ALLOWED,
        "readings": readings,
    }


async def _ask_as_one_should(
    session: aiohttp.ClientSession,
    address: Address,
    bodies: Bodies,
    wanted: list[tuple[int, int]],
    end: float,
    seed: int,
    seen: Counter[str],
) -> None:
    chance = random.Random(seed)
    url = f"http://{address.host}:{address.port}/v2/models/mgnet/infer"
    while time.monotonic() < end:
        image = chance.randrange(len(bodies))
        body, headers = bodies.requests[image]
        async with session.post(url, data=body, headers=headers) as response:
            answer = await response.read()
        if response.status == BUSY:
            seen["busy"] += 1
        elif response.status != OK:
            seen[f"status {response.status}"] += 1
        else:
            # outputs: label int64, confidence float32, glimpses int64
            got = int.from_bytes(answer[-20:-12], "little"), int.from_bytes(answer[-8:], "little")
            seen["right" if got == wanted[image] else "another answer"] += 1
        await asyncio.sleep(chance.expovariate(50))


async def _misbehave_on(
    address: Address, pixels: np.ndarray, end: float, seed: int, seen: Counter[str]
) -> None:
    chance = random.Random(1000 + seed)
    while time.monotonic() < end:
        kind = chance.choice(list(KINDS))
        seen[f"{kind}: {await misbehave(kind, address, pixels, chance)}"] += 1
        await asyncio.sleep(chance.expovariate(50))


async def _read_on(
    session: aiohttp.ClientSession,
    address: Address,
    end: float,
    pause: float,
    readings: list[dict[str, float]],
) -> None:
    while time.monotonic() < end:
        readings.append(await _numbers(session, address))
        await asyncio.sleep(pause)


async def _numbers(session: aiohttp.ClientSession, address: Address) -> dict[str, float]:
    """The service's own numbers, without the buckets of histograms."""
    async with session.get(f"http://{address.host}:{address.port}/metrics") as response:
        lines = (await response.text()).splitlines()
    kept = ("process_resident", "process_open", "mgnet_images", "mgnet_bytes", "mgnet_slots_in")
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if line.startswith(kept))
        if "created" not in name
    }


if __name__ == "__main__":
    sys.exit(main())
