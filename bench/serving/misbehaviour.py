"""Clients that no service should suffer from."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from bench.serving.load import Bodies

PATH = "/v2/models/mgnet/infer"
LARGE = 3 << 20  # bytes, above the limit of the service
PATIENCE = 60.0  # seconds; nothing may take so long


class Address(NamedTuple):
    """Of the service."""

    host: str
    port: int


def _good(pixels: np.ndarray, chance: random.Random) -> tuple[bytes, bytes]:
    """Head and body of a request with one to five images."""
    count = chance.randint(1, 5)
    start = chance.randrange(len(pixels) - count)
    body, headers = Bodies(pixels[start : start + count][None]).requests[0]
    return _head(len(body), headers), body


def _head(length: int, headers: dict[str, str] | None = None) -> bytes:
    fields = {"Host": "here", "Content-Length": str(length), **(headers or {})}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _vanishes_before_its_answer(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    return [*_good(pixels, chance)]


def _vanishes_within_its_body(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    head, body = _good(pixels, chance)
    return [head, body[: chance.randrange(len(body))]]


def _vanishes_within_its_head(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    head, _ = _good(pixels, chance)
    return [head[: chance.randrange(len(head))]]


def _too_large(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    return [_head(LARGE), bytes(LARGE)]


def _no_http(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    return [chance.randbytes(200) + b"\r\n\r\n"]


def _no_json(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    body = chance.randbytes(chance.randrange(1, 2000))
    return [_head(len(body)), body]


def _damaged(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    """A good body in which some bytes are others."""
    head, body = _good(pixels, chance)
    broken = bytearray(body)
    for _ in range(chance.randint(1, 20)):
        broken[chance.randrange(min(400, len(broken)))] = chance.randrange(256)
    return [head, bytes(broken)]


def _no_image(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    content = b"\xff\xd8\xff" + chance.randbytes(500)
    return [_head(len(content), {"Inference-Header-Content-Length": "0"}), content]


def _wrong_shape(pixels: np.ndarray, chance: random.Random) -> list[bytes]:
    given = {"name": "pixels", "datatype": "UINT8", "shape": [1, 9, 9, 1], "data": [[1, 2], [3]]}
    body = json.dumps({"inputs": [given]}).encode()
    return [_head(len(body)), body]


class _Kind(NamedTuple):
    parts: Callable[[np.ndarray, random.Random], list[bytes]]
    stays: bool  # for the answer


KINDS = {
    "vanishes before its answer": _Kind(_vanishes_before_its_answer, False),
    "vanishes within its body": _Kind(_vanishes_within_its_body, False),
    "vanishes within its head": _Kind(_vanishes_within_its_head, False),
    "body above the limit": _Kind(_too_large, True),
    "no HTTP": _Kind(_no_http, True),
    "no JSON": _Kind(_no_json, True),
    "damaged body": _Kind(_damaged, True),
    "no image": _Kind(_no_image, True),
    "wrong shape": _Kind(_wrong_shape, True),
}


async def misbehave(kind: str, address: Address, pixels: np.ndarray, chance: random.Random) -> str:
    """Do it once; the status of the answer, or "gone"."""
    parts, stays = KINDS[kind]
    return await asyncio.wait_for(_sent(address, parts(pixels, chance), stays, chance), PATIENCE)


async def _sent(address: Address, parts: list[bytes], stays: bool, chance: random.Random) -> str:
    reader, writer = await asyncio.open_connection(*address)
    try:
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
            if stays:
                first = await reader.readline()
                return first.decode("latin-1").split(" ")[1] if b" " in first else "closed"
            await asyncio.sleep(chance.choice((0, 0.002, 0.05)))
        return "gone"
    finally:
        writer.transport.abort()  # without the courtesies of closing
