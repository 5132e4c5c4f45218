"""One service with the toy network, and one whose engine waits until it is told to answer."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from torch import Tensor

from mgnet_fast import Engine, Prediction
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.serving.limits import Limits

CLASSES = tuple(f"digit {n}" for n in range(10))
SMALL = Limits(queue=2, body_bytes=40_000, queue_bytes=120_000, pixels=20_000, seconds=0.5)


@pytest.fixture(scope="session")
def services() -> ModuleType:
    return pytest.importorskip(
        "support.service", reason="the libraries of the service: pip install '.[serve]'"
    )


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine(load_model(), slots=4, runner="packed")


@pytest.fixture(scope="session")
def scenes() -> Tensor:
    """uint8 [12, 1, 112, 112]"""
    return load_scenes().scenes(np.arange(12))


@pytest.fixture(scope="session")
def alone(engine: Engine, scenes: Tensor) -> list[Prediction]:
    """The engine's own answers."""
    return engine.predict(scenes)


@pytest.fixture(scope="session")
def served(services: ModuleType) -> Iterator[object]:
    """The toy network."""
    from mgnet_fast.serving.served_model import ServedModel
    from mgnet_fast.serving.service import service

    engine = Engine(load_model(), slots=4, runner="packed")
    app = service(ServedModel("toy", engine.model, CLASSES), engine)
    with services.running(app, Limits()) as running:
        yield running


@pytest.fixture(scope="session")
def _held(services: ModuleType, engine: Engine) -> Iterator[object]:
    with services.held_service(engine.model, SMALL) as held:
        yield held


@pytest.fixture
def held(_held):
    """No image is in it at the beginning, and none may be left at the end."""
    _held.stream.gate.clear()
    _held.stream.dropped.clear()
    yield _held
    _held.stream.gate.set()
    room = _held.inference.room
    _held.until(lambda: not _held.stream.flying and room.images == room.num_bytes == 0)
