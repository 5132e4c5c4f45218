"""The ways through slots that a stream may take, for tests that hold for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from mgnet_fast import Prediction
from mgnet_fast.engine.device_loop.device import CalledSteps, Program
from mgnet_fast.engine.device_loop.loop import GraphLoop
from mgnet_fast.engine.device_loop.state import GraphState
from mgnet_fast.engine.device_loop.step import GraphStep
from mgnet_fast.engine.exits import ExitDecision
from mgnet_fast.engine.schedule.image_places import BatchPlaces, StreamPlaces
from mgnet_fast.engine.schedule.read_ahead import Source
from mgnet_fast.engine.schedule.slot_loop import SlotLoop

Loop = Callable[..., Iterator[Prediction]]


class LateSteps(CalledSteps):
    """Runs a step no earlier than its record is wanted, as a busy device would: what the host
    changed too early is seen."""

    def __init__(self, step: GraphStep) -> None:
        super().__init__(step)
        self._waiting: deque[tuple[Program, int, Tensor]] = deque()

    def launch(self, replay: Program, turn: int, control: Tensor) -> None:
        self._waiting.append((replay, turn, control.clone()))
        assert len(self._waiting) <= 2

    def collect(self, turn: int) -> Tensor:
        replay, launched, control = self._waiting.popleft()
        assert launched == turn
        super().launch(replay, turn, control)
        return super().collect(turn)

    def finish(self) -> None:
        while self._waiting:
            self.collect(self._waiting[0][1])


def host_loop(
    runner: Any,
    decision: ExitDecision,
    slots: int,
    source: Source[Any],
    batch: Tensor | None = None,
    ring_bytes: int = 1 << 30,
) -> Iterator[Prediction]:
    """The host decides after every step."""
    config = runner.config
    streamed = StreamPlaces(
        slots,
        config.in_chans,
        runner.device,
        one_size=config.glimpse_size is None,
        ring_bytes=ring_bytes,
    )
    places = streamed if batch is None else BatchPlaces(batch)
    return SlotLoop(runner, decision, slots, source, places).predictions()


def _graph_loop(device: Callable[[GraphStep], CalledSteps]) -> Loop:
    def loop(
        runner: Any,
        decision: ExitDecision,
        slots: int,
        source: Source[Any],
        batch: Tensor | None = None,
        ring_bytes: int = 1 << 30,
    ) -> Iterator[Prediction]:
        state = GraphState(runner, slots, device, "a step", 2 * ring_bytes)
        return GraphLoop(state, decision, source, batch).predictions()

    return loop


LOOPS: dict[str, Loop] = {
    "host": host_loop,
    "graph": _graph_loop(CalledSteps),
    "graph, late": _graph_loop(LateSteps),
}
