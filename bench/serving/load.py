"""Requests that arrive as they come in life: at random, whether the service keeps up or not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp
import numpy as np
import tritonclient.http as client

OUTPUTS = ("label", "confidence", "glimpses")
OK = 200


class Bodies:
    """One request for each of the batches [n, B, H, W, C], made by the library of Triton."""

    def __init__(self, batches: np.ndarray) -> None:
        self.requests = [_request(batch, OUTPUTS) for batch in batches]

    def __len__(self) -> int:
        return len(self.requests)


def _request(pixels: np.ndarray, outputs: tuple[str, ...]) -> tuple[bytes, dict[str, str]]:
    given = client.InferInput("pixels", list(pixels.shape), "UINT8")
    given.set_data_from_numpy(pixels)
    wanted = [client.InferRequestedOutput(name) for name in outputs]
    body, length = client.InferenceServerClient.generate_request_body([given], outputs=wanted)
    return bytes(body), {"Inference-Header-Content-Length": str(length)}


@dataclass
class Seen:
    """What the client saw.

    Attributes:
        latencies: seconds from when a request was due until its answer.
        late: seconds by which requests were sent after they were due.
        glimpses: of the answers.
        failed: requests with another status.
        seconds: from the first request due to the last answer.
    """

    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    glimpses: list[int] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0

    def add(self, other: Seen) -> None:
        self.latencies += other.latencies
        self.late += other.late
        self.glimpses += other.glimpses
        self.failed += other.failed
        self.seconds += other.seconds


class Loader:
    """Sends requests to one service."""

    def __init__(self, session: aiohttp.ClientSession, address: str, bodies: Bodies) -> None:
        self._session, self._bodies = session, bodies
        self._url = f"{address}/v2/models/model/infer"

    async def poisson(self, rate: float, seconds: float, seed: int) -> Seen:
        """Poisson arrivals at ``rate`` a second, for ``seconds``; then until all are answered."""
        random = np.random.default_rng(seed)
        gaps = random.exponential(1 / rate, size=int(2 * rate * seconds) + 10)
        due = np.cumsum(gaps)
        due = due[due < seconds]
        images = random.integers(len(self._bodies), size=len(due))
        seen = Seen()
        start = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for offset, image in zip(due.tolist(), images.tolist(), strict=True):
                wait = start + offset - time.perf_counter()
                if wait > 0:
                    await asyncio.sleep(wait)
                group.create_task(self._one(image, start + offset, seen))
        seen.seconds = time.perf_counter() - start
        return seen

    async def full(self, seconds: float, together: int) -> Seen:
        """As many as it can answer, with ``together`` requests out at any time."""
        seen = Seen()
        end = time.perf_counter() + seconds
        start = time.perf_counter()

        async def one_after_another(first: int) -> None:
            image = first
            while time.perf_counter() < end:
                await self._one(image % len(self._bodies), time.perf_counter(), seen)
                image += together

        async with asyncio.TaskGroup() as group:
            for first in range(together):
                group.create_task(one_after_another(first))
        seen.seconds = time.perf_counter() - start
        return seen

    async def _one(self, image: int, due: float, seen: Seen) -> None:
        body, headers = self._bodies.requests[image]
        seen.late.append(time.perf_counter() - due)
        async with self._session.post(self._url, data=body, headers=headers) as response:
            answer = await response.read()
        if response.status != OK:
            seen.failed += 1
            return
        seen.latencies.append(time.perf_counter() - due)
        # the last of the three outputs is one int64
        seen.glimpses.append(int.from_bytes(answer[-8:], "little"))


async def answers(address: str, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Label, logits and glimpses of every image, for the check before the measurement."""
    names = ("label", "logits", "glimpses")
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    async with aiohttp.ClientSession() as session:
        for image in pixels:
            body, headers = _request(image[None], names)
            url = f"{address}/v2/models/model/infer"
            async with session.post(url, data=body, headers=headers) as response:
                content = await response.read()
                length = int(response.headers["Inference-Header-Content-Length"])
            result = client.InferenceServerClient.parse_response_body(content, header_length=length)
            for name in names:
                found[name].append(result.as_numpy(name)[0])
    return {name: np.stack(values) for name, values in found.items()}
