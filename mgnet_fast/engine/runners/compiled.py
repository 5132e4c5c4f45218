"""The runner that compiles backbone, fusion and heads into one program."""

from __future__ import annotations

import os
import shutil
from typing import Any

import torch
from torch import Tensor

from .kind import RunnerKind, RunnerRequest
from .plain import PlainRunner
from .runner import StepInput


class CompiledRunner:
    """Runs the steps of ``plain`` under ``torch.compile``, always with ``slots`` rows.

    Glimpses are taken outside, where one op handles all shapes, dtypes and layouts, so the compiled
    part has a constant shape. The end of a stream is padded to ``slots`` rows. Only networks
    without a glimpse size of their own compile once per image size. See :class:`Runner`.
    """

    def __init__(self, plain: PlainRunner, slots: int) -> None:
        self._plain = plain
        self._slots = slots
        self.config, self.num_classes, self.device = plain.config, plain.num_classes, plain.device
        # Freezing makes the weights constants, which can be packed and folded.
        options: dict[str, Any] = {"freezing": True} if self.device.type == "cpu" else {}
        self._answer = torch.compile(self._marked, fullgraph=True, dynamic=False, options=options)
        # The compiler treats tensors made in inference mode as a different kind, so it only gets
        # tensors made here, never those of the caller.
        with torch.inference_mode(False):
            self._region = plain.initial_regions(slots)
            self._tokens = plain.new_tokens(slots).zero_()
            self._length = torch.ones(slots, dtype=torch.int64, device=self.device)
        if plain.config.glimpse_size is not None:
            self._compile()

    def initial_regions(self, count: int) -> Tensor:
        return self._plain.initial_regions(count)

    def new_tokens(self, slots: int) -> Tensor:
        return self._plain.new_tokens(slots)

    @torch.no_grad()
    def step(self, given: StepInput) -> tuple[Tensor, Tensor]:
        glimpses = self._plain.glimpses(given.images, given.region, given.image_index)
        rows = len(given.length)
        if rows < self._slots:
            filling = glimpses[:1].expand(self._slots - rows, -1, -1, -1)
            glimpses = torch.cat([glimpses, filling])
        self._region[:rows].copy_(given.region)
        self._tokens[:rows].copy_(given.tokens)
        self._length[:rows].copy_(given.length)
        logits, following = self._answer(glimpses, self._region, self._tokens, self._length)
        given.tokens.copy_(self._tokens[:rows])
        return logits[:rows], following[:rows]

    def _marked(
        self, glimpses: Tensor, region: Tensor, tokens: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits, following = self._plain.answer(glimpses, region, tokens, length)
        # A compiled ReLU may turn NaN into 0, so NaN is restored for images that contain it.
        nan_if_odd = glimpses.float().sum(dim=(1, 2, 3))[:, None] * 0
        return logits + nan_if_odd, following

    def _compile(self) -> None:
        config = self.config
        size = config.glimpse_shape((0, 0))
        images = torch.zeros(1, config.in_chans, *size, device=self.device)
        with torch.inference_mode():
            index = torch.zeros_like(self._length)
            self.step(StepInput(images, self._region, self._tokens, self._length, index))


def _refusal(request: RunnerRequest) -> str | None:
    if request.device.type != "cpu":
        return None
    names = [os.environ["CXX"]] if "CXX" in os.environ else ["g++", "clang++", "c++"]
    if any(shutil.which(name) for name in names):
        return None
    return f"torch.compile needs a C++ compiler, but there is no {' or '.join(names)}"


def _build(request: RunnerRequest) -> CompiledRunner:
    network = request.network()
    network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return CompiledRunner(PlainRunner(network, request.folded), request.slots)


COMPILED = RunnerKind("compiled", ("fp32",), _refusal, _build, is_tried=False)
