"""Services in a thread of the test process; needs the libraries of the extra `serve`."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from mgnet_fast import Prediction
from mgnet_fast.engine.schedule.open_stream import Left
from mgnet_fast.serving.app import build_app
from mgnet_fast.serving.engine_thread import EngineThread
from mgnet_fast.serving.inference import Inference
from mgnet_fast.serving.limits import Limits
from mgnet_fast.serving.metrics import Metrics
from mgnet_fast.serving.served_model import ServedModel
from mgnet_fast.serving.server import HTTPServer, listener


@dataclass
class Running:
    """A service in a thread of this process."""

    port: int
    server: HTTPServer
    thread: threading.Thread

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()
        finally:
            connection.close()

    def infer(self, content: Any, binary: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Status and JSON of a request; ``content`` is what its JSON part says."""
        text = content if isinstance(content, bytes) else json.dumps(content).encode()
        if binary:
            headers = {"Inference-Header-Content-Length": str(len(text))} | headers
        status, _, answer = self.ask("POST", "/v2/models/toy/infer", text + binary, headers)
        return status, json.loads(answer)


@contextmanager
def running(app: Any, limits: Limits) -> Iterator[Running]:
    up = threading.Event()
    server = HTTPServer(app, limits, up.set)
    with listener("127.0.0.1", 0) as opened:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        assert up.wait(30)
        try:
            yield Running(opened.getsockname()[1], server, thread)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


class HeldStream:
    """Two slots, whose images leave when the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.flying: dict[int, Any] = {}
        self.dropped: list[int] = []
        self.breaks: BaseException | None = None
        self._next = 0

    @property
    def free(self) -> int:
        return 2 - len(self.flying)

    @property
    def in_flight(self) -> int:
        return len(self.flying)

    def enter(self, image: Any, *, every_answer: bool = False) -> int:
        self._next += 1
        self.flying[self._next] = image
        return self._next

    def drop(self, number: int) -> None:
        del self.flying[number]
        self.dropped.append(number)

    def step(self) -> list[Left]:
        if self.breaks is not None:
            raise self.breaks
        if not self.gate.wait(0.001):
            return []
        one = Prediction(0, torch.zeros(10), 1, torch.tensor([[1.0, 0.0, 0.0]]), True)
        left = [Left(number, one, torch.zeros(1, 10)) for number in self.flying]
        self.flying.clear()
        return left


@dataclass
class Held:
    stream: HeldStream
    inference: Inference
    running: Running

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what another thread will do."""
        end = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.002)


@contextmanager
def held_service(model: Any, limits: Limits) -> Iterator[Held]:
    stream = HeldStream()
    metrics = Metrics(2, 3)

    @contextmanager
    def opened() -> Iterator[HeldStream]:
        yield stream

    inference = Inference(
        ServedModel("toy", model), EngineThread(opened, metrics), 2, limits, metrics
    )
    with running(build_app(inference), limits) as service_:
        yield Held(stream, inference, service_)
