"""What is asked of CUDA, and in which order, with a CUDA that only takes notes."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from mgnet_fast import Confidence, Prediction
from mgnet_fast.engine.device_loop import device as graph_device
from mgnet_fast.engine.device_loop.device import CudaGraphs, Program
from mgnet_fast.engine.device_loop.loop import GraphLoop
from mgnet_fast.engine.device_loop.state import GraphState
from mgnet_fast.engine.exits import ExitDecision
from mgnet_fast.engine.runners.plain import PlainRunner
from mgnet_fast.engine.schedule.read_ahead import Source
from mgnet_fast.models import MGNet


class Cuda:
    """Stands in for ``torch.cuda``; work is done where it is asked for."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._streams = iter(("steps", "uploads", "results"))
        self.fails = False

    def Stream(self, device: torch.device) -> Any:
        name = next(self._streams)
        return SimpleNamespace(
            name=name,
            device=device,
            wait_stream=lambda other: self.notes.append(f"{name} waits for {other.name}"),
            synchronize=lambda: self.notes.append(f"host waits for {name}"),
        )

    def Event(self) -> Any:
        return SimpleNamespace(
            record=lambda: None,
            wait=lambda: None,
            synchronize=lambda: self.notes.append("host waits for a record"),
        )

    def CUDAGraph(self) -> Any:
        return SimpleNamespace(replay=lambda: None)

    def graph_pool_handle(self) -> int:
        return 0

    def synchronize(self, device: torch.device) -> None:
        self.notes.append("host waits for the device")

    def stream(self, stream: Any) -> Any:
        return nullcontext()

    @contextmanager
    def graph(self, graph: Any, **options: Any) -> Any:
        assert options["stream"].name == "steps"
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nlong story")
        yield
        self.notes.append("captured")


class Replayed(CudaGraphs):
    """A replay calls the program."""

    def capture(self, program: Program, what: str) -> Program:
        super().capture(program, what)

        def replay() -> None:
            self._step_notes.append("replayed")
            program()

        return replay

    @property
    def _step_notes(self) -> list[str]:
        notes: list[str] = graph_device.torch.cuda.notes  # type: ignore[attr-defined]
        return notes


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    cuda = Cuda()
    stand_in = SimpleNamespace(**{name: getattr(torch, name) for name in dir(torch)})
    stand_in.cuda = cuda
    monkeypatch.setattr(graph_device, "torch", stand_in)
    monkeypatch.setattr(
        graph_device, "_pinned", lambda shape, dtype: torch.empty(tuple(shape), dtype=dtype)
    )
    return cuda


def _predictions(model: MGNet, images: list[Tensor]) -> list[Prediction]:
    state = GraphState(PlainRunner(model), 4, Replayed, "a step")
    decision = ExitDecision(Confidence(0.99), 3, "cpu")
    return list(GraphLoop(state, decision, Source(images)).predictions())


def test_the_host_waits_for_a_record_when_the_next_step_is_under_way(
    cuda: Cuda, model: MGNet, digit_scenes: Tensor, one_by_one: Tensor
) -> None:
    found = _predictions(model, list(digit_scenes[:20]))
    last = [result.glimpses - 1 for result in found]
    assert [result.label for result in found] == one_by_one[last, range(20)].argmax(1).tolist()
    notes = cuda.notes
    assert notes.count("captured") == 1
    steps = notes[notes.index("captured") + 1 :]
    assert set(steps) == {
        "steps waits for uploads", "replayed", "host waits for a record",
        "host waits for uploads", "host waits for steps", "host waits for results",
    }  # fmt: skip
    assert steps[-3:] == [f"host waits for {name}" for name in ("uploads", "steps", "results")]
    order = [note for note in steps if note in ("replayed", "host waits for a record")]
    assert order[:9] == ["replayed", *["replayed", "host waits for a record"] * 4]


def test_a_capture_that_fails_says_what(cuda: Cuda, model: MGNet, digit_scenes: Tensor) -> None:
    cuda.fails = True
    with pytest.raises(
        RuntimeError,
        match=r"^a step, 4 slots, uint8 images of shape \[1, 112, 112\], could not be captured "
        r"in a CUDA graph: operation not permitted when stream is capturing$",
    ):
        _predictions(model, list(digit_scenes[:5]))
