"""What a graph loop needs from the device: capture, replay, and copies of images and results.

:class:`CudaGraphs` uses a CUDA graph and three streams. :class:`CalledSteps` has the same interface
on any device and calls the step directly, so that everything else can be tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from .step import TURNS, GraphStep

Program = Callable[[], None]
_WARM_UP_STEPS = 3


class GraphDevice(Protocol):
    """Launches steps in turn, at most ``TURNS`` of them before the first is collected."""

    def capture(self, program: Program, what: str) -> Program:
        """Prepare ``program`` for replay; this may run it. No step may be running.

        Raises:
            RuntimeError: it cannot be captured; the message names ``what``.
        """

    def uploading(self, image: object) -> Any:
        """A context in which ``image`` is copied to its place while steps run."""

    def launch(self, replay: Program, turn: int, control: Tensor) -> None:
        """Start a step with ``control``, then copy ``records[turn]`` to the host."""

    def collect(self, turn: int) -> Tensor:
        """Wait for the step of ``turn`` and return its record on the host; the next launch of that
        turn overwrites it."""

    def finish(self) -> None:
        """Wait for everything launched."""


class CalledSteps:
    """Runs each step when it is launched."""

    def __init__(self, step: GraphStep) -> None:
        self._step = step

    def capture(self, program: Program, what: str) -> Program:
        program()  # like the warm-up before a capture
        return program

    @contextmanager
    def uploading(self, image: object) -> Iterator[None]:
        yield

    def launch(self, replay: Program, turn: int, control: Tensor) -> None:
        self._step.control.copy_(control)
        replay()

    def collect(self, turn: int) -> Tensor:
        return self._step.records[turn].cpu()

    def finish(self) -> None:
        pass


class CudaGraphs:
    """Replays steps in one stream, copies images in a second and results in a third.

    A launch queues three things and waits for none: the control numbers from pinned memory, the
    graph, and, in the third stream, the copy of the record to pinned memory with an event after
    it. The host waits for that event only after it has launched the next step.

    Never run on a GPU yet.
    """

    def __init__(self, step: GraphStep) -> None:
        self._step = step
        device = step.records.device
        self._steps, self._uploads, self._results = (torch.cuda.Stream(device) for _ in range(3))
        self._pool = torch.cuda.graph_pool_handle()
        self._controls = _pinned((TURNS, len(step.control)), torch.int64)
        self._records = _pinned(step.records.shape, step.records.dtype)
        self._is_done = [torch.cuda.Event() for _ in range(TURNS)]
        self._is_read = [torch.cuda.Event() for _ in range(TURNS)]

    def capture(self, program: Program, what: str) -> Program:
        graph = torch.cuda.CUDAGraph()
        try:
            # Kernels must be loaded and algorithms chosen before the capture.
            torch.cuda.synchronize(self._steps.device)
            with torch.cuda.stream(self._steps):
                for _ in range(_WARM_UP_STEPS):
                    program()
            torch.cuda.synchronize(self._steps.device)
            # Other threads, such as one that reads images, may use the device during the capture.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._steps, capture_error_mode="thread_local"
            ):
                program()
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RuntimeError(f"{what} could not be captured in a CUDA graph: {reason}") from error
        return graph.replay

    @contextmanager
    def uploading(self, image: object) -> Iterator[None]:
        if isinstance(image, Tensor) and image.is_cuda:
            self._uploads.wait_stream(torch.cuda.current_stream(image.device))
            image.record_stream(self._uploads)
        with torch.cuda.stream(self._uploads):
            yield

    def launch(self, replay: Program, turn: int, control: Tensor) -> None:
        self._controls[turn].copy_(control)
        self._steps.wait_stream(self._uploads)
        with torch.cuda.stream(self._steps):
            self._step.control.copy_(self._controls[turn], non_blocking=True)
            replay()
            self._is_done[turn].record()
        with torch.cuda.stream(self._results):
            self._is_done[turn].wait()
            self._records[turn].copy_(self._step.records[turn], non_blocking=True)
            self._is_read[turn].record()

    def collect(self, turn: int) -> Tensor:
        self._is_read[turn].synchronize()
        return self._records[turn]

    def finish(self) -> None:
        for stream in (self._uploads, self._steps, self._results):
            stream.synchronize()


def _pinned(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):
        return torch.empty(shape, dtype=dtype, pin_memory=True)
