"""Dynamic batching as inference servers do it: what waits becomes a batch, which runs whole.

A batch starts as soon as the one before has ended, without a delay for further requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mgnet_fast import Engine, Prediction
from mgnet_fast.engine.artefacts.onnx_session import open_session
from mgnet_fast.engine.schedule.open_stream import Left, OpenStream


class EngineBatches:
    """The engine, which images enter only when it is empty."""

    def __init__(self, stream: OpenStream) -> None:
        self._stream = stream
        self.enter, self.drop, self.step = stream.enter, stream.drop, stream.step

    @property
    def free(self) -> int:
        return 0 if self._stream.in_flight else self._stream.free

    @property
    def in_flight(self) -> int:
        return self._stream.in_flight


@contextmanager
def engine_batches(engine: Engine) -> Iterator[EngineBatches]:
    """For an engine whose images take all glimpses."""
    with engine.open_stream() as stream:
        yield EngineBatches(stream)


class OnnxBatches:
    """An exported loop that takes bytes, in ONNX Runtime; a step is a whole batch."""

    def __init__(self, artefact: Path, most: int) -> None:
        self._session = open_session(artefact)
        self._most = most
        self._waiting: dict[int, torch.Tensor] = {}
        self._next = 0

    @property
    def free(self) -> int:
        return self._most - len(self._waiting)

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def enter(self, image: Any, *, every_answer: bool = False) -> int:
        self._next += 1
        self._waiting[self._next] = image.permute(1, 2, 0)
        return self._next

    def drop(self, number: int) -> None:
        del self._waiting[number]

    def step(self) -> list[Left]:
        numbers = list(self._waiting)
        batch = np.ascontiguousarray(torch.stack([*self._waiting.values()]).numpy())
        logits, regions, _ = self._session.run(None, {"images": batch})
        self._waiting.clear()
        steps = len(logits)
        answers = torch.from_numpy(logits)
        seen = torch.from_numpy(regions)
        return [
            Left(
                number,
                Prediction(
                    int(logits[-1, row].argmax()), answers[-1, row], steps, seen[:, row], True
                ),
                answers[:, row],
            )
            for row, number in enumerate(numbers)
        ]


@contextmanager
def onnx_batches(artefact: Path, most: int) -> Iterator[OnnxBatches]:
    """See :class:`OnnxBatches`."""
    yield OnnxBatches(artefact, most)
