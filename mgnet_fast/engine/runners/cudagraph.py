"""The runner whose whole step, exit decision and refill included, is one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..convolutions.lower_precision import DTYPES, lowered
from ..device_loop.device import CudaGraphs, GraphDevice
from ..device_loop.state import GraphState
from ..device_loop.step import GraphStep
from ..schedule.image_places import RING_BYTES
from .kind import RunnerKind, RunnerRequest
from .plain import PlainRunner
from .runner import Runner, StepInput

_SHARE_OF_MEMORY = 4  # a stream's images use at most this fraction of free memory


class CudaGraphRunner:
    """Runs the steps of ``runner``; streams go through ``state``, see :class:`GraphLoop`.

    A single :meth:`step` is that of ``runner``. ``device`` makes the object that captures and
    replays a step.
    """

    def __init__(
        self,
        runner: Runner,
        slots: int,
        device: Callable[[GraphStep], GraphDevice],
        ring_bytes: int = RING_BYTES,
    ) -> None:
        self._runner = runner
        self.config = runner.config
        self.num_classes = runner.num_classes
        self.device = runner.device
        self.state = GraphState(runner, slots, device, "the engine's step", ring_bytes)

    def initial_regions(self, count: int) -> Tensor:
        return self._runner.initial_regions(count)

    def new_tokens(self, slots: int) -> Tensor:
        return self._runner.new_tokens(slots)

    def step(self, given: StepInput) -> tuple[Tensor, Tensor]:
        return self._runner.step(given)


def _refusal(request: RunnerRequest) -> str | None:
    if request.device.type != "cuda":
        return f"it captures CUDA graphs, which needs a CUDA device, got {request.device}"
    if not torch.cuda.is_available():
        return "it captures CUDA graphs, but torch finds no CUDA device"
    return None


def folded_runner(request: RunnerRequest) -> PlainRunner:
    """The runner to capture: batch norm folded in every precision, weights in channels_last."""
    network, dtype = request.network(), DTYPES[request.precision]
    network.backbone = lowered(network.backbone, dtype, torch.channels_last)
    return PlainRunner(network, request.folded, torch.channels_last, dtype)


def _build(request: RunnerRequest) -> CudaGraphRunner:
    runner = folded_runner(request)
    free, _ = torch.cuda.mem_get_info(request.device)
    return CudaGraphRunner(runner, request.slots, CudaGraphs, free // _SHARE_OF_MEMORY)


# A trial would time single steps, which graphs do not speed up; and it has never run on a GPU.
CUDAGRAPH = RunnerKind("cudagraph", tuple(DTYPES), _refusal, _build, is_tried=False)
