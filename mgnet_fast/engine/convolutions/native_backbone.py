"""Whole backbones in one call of this package's kernels (``csrc/convolutions/backbone.h``).

Between the small layers of a glimpse, calls of PyTorch cost as much as a few layers at batch 1: the
weights that stream by push their code out of the caches. So the structure of a backbone is recorded
once for each size of input, and then runs as a list of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...ops.backends import native
from . import backbone_structure, native_convolution
from .folded_convolution import FoldedConvolution
from .native_convolution import NativeConvolution
from .weight_storage import WeightMemory

_MOST_PLANS = 4  # input sizes whose plans are kept


class NativeBackbone(nn.Module):
    """Maps float32 [B, C, h, w] to float32 [B, features] on the CPU, for inference only.

    The bits of an image depend neither on the other images nor on the number of threads. An image
    with NaN or infinity gets NaN. A snapshot: later changes of the original's weights have no
    effect.

    Args:
        backbone: one with a known structure that :func:`takes` accepts.
        weights: their storage, see :mod:`.weight_storage`.
    """

    def __init__(self, backbone: nn.Module, weights: str = "fp32") -> None:
        super().__init__()
        self._recorder = _Recorder(weights)
        self._features = backbone_structure.features(backbone, self._recorder)
        self._plans: dict[torch.Size, tuple[Any, int]] = {}

    def forward(self, x: Tensor) -> Tensor:
        plan, features = self._plans.get(x.shape[1:]) or self._plan(x)
        x = x.float().contiguous(memory_format=torch.channels_last)
        out = torch.empty(x.shape[0], features)
        native.extension.backbone(
            plan, x.data_ptr(), x.shape[0], out.data_ptr(), torch.get_num_threads()
        )
        return out

    def _plan(self, x: Tensor) -> tuple[Any, int]:
        if len(self._plans) >= _MOST_PLANS:
            self._plans.clear()
        channels, height, width = x.shape[1:]
        recorded = self._recorder.record(self._features, _Map(0, channels, height, width))
        plan = native.extension.backbone_plan(*recorded.arguments())
        self._plans[x.shape[1:]] = made = plan, recorded.result.channels
        return made


def takes(backbone: nn.Module) -> bool:
    """Whether the kernels compute every convolution of ``backbone``."""
    convolutions = (each for each in backbone.modules() if isinstance(each, nn.Conv2d))
    return all(native_convolution.takes(each) for each in convolutions)


@dataclass(frozen=True)
class _Map:
    """What passes between steps: a number for each map that is made, 0 for the input."""

    number: int
    channels: int
    height: int
    width: int

    @property
    def floats(self) -> int:
        return self.channels * self.height * self.width


@dataclass(frozen=True)
class _Step:
    convolution: tuple[int, ...] | None
    addresses: tuple[int, ...]
    pool: tuple[int, ...] | None
    read: _Map
    added: _Map | None
    written: _Map


class _Recording:
    def __init__(self, source: _Map) -> None:
        self.source = self.result = source
        self.steps: list[_Step] = []

    def new_map(self, channels: int, size: tuple[int, int]) -> _Map:
        self.result = _Map(len(self.steps) + 1, channels, *size)
        return self.result

    def arguments(self) -> tuple[object, ...]:
        """Of the extension's ``backbone_plan``: maps take turns in as few buffers as possible."""
        last_use: dict[int, int] = {}
        for at, step in enumerate(self.steps):
            for each in (step.read, step.added, step.written):
                if each is not None:
                    last_use[each.number] = at
        sizes: list[int] = []
        free: list[int] = []
        place = {0: 0}
        steps = []
        for at, step in enumerate(self.steps):
            if not free:
                sizes.append(0)
                free.append(len(sizes))
            place[step.written.number] = mine = free.pop()
            sizes[mine - 1] = max(sizes[mine - 1], step.written.floats)
            added = -1 if step.added is None else place[step.added.number]
            steps.append(
                (step.convolution, *step.addresses, step.pool, place[step.read.number], added, mine)
            )
            for number in {step.read.number, *([step.added.number] if step.added else [])}:
                if number and last_use[number] == at:
                    free.append(place[number])
        result = self.result
        return (
            tuple(steps), tuple(sizes), self.source.floats, result.height * result.width,
            result.channels,
        )  # fmt: skip


class _Recorder:
    """Records what is computed; see :class:`.backbone_structure.Arithmetic`."""

    def __init__(self, weights: str) -> None:
        self._weights, self._memory = weights, WeightMemory()
        self._recording = _Recording(_Map(0, 1, 1, 1))

    def record(self, features: Callable[[_Map], _Map], source: _Map) -> _Recording:
        self._recording = _Recording(source)
        features(source)
        return self._recording

    def convolution(self, folded: FoldedConvolution) -> Callable[..., _Map]:
        convolution = NativeConvolution(folded, self._weights, self._memory)

        def run(x: _Map, other: _Map | None = None) -> _Map:
            recording = self._recording
            planned = convolution.at(x.height, x.width)
            out = recording.new_map(convolution.outputs, planned.size)
            recording.steps.append(_Step(planned.shape, planned.addresses, None, x, other, out))
            return out

        return run

    def max_pool(self, x: _Map, kernel: int, stride: int, padding: int) -> _Map:
        height, width = ((n + 2 * padding - kernel) // stride + 1 for n in (x.height, x.width))
        out = self._recording.new_map(x.channels, (height, width))
        shape = (x.channels, x.height, x.width, kernel, stride, padding)
        self._recording.steps.append(_Step(None, (0, 0, 0), shape, x, None, out))
        return out
