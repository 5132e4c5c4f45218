"""Runners that need nothing prepared: the network's own modules, in either memory layout."""

from __future__ import annotations

import torch

from .plain import PlainRunner
from .runner_kind import RunnerKind, RunnerRequest


def _never(request: RunnerRequest) -> None:
    return None


def _contiguous(request: RunnerRequest) -> PlainRunner:
    return PlainRunner(request.network(), request.folded)


def _channels_last(request: RunnerRequest) -> PlainRunner:
    network = request.network()
    network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return PlainRunner(network, request.folded)


EAGER = RunnerKind("eager", ("fp32",), _never, _contiguous)
CHANNELS_LAST = RunnerKind("channels_last", ("fp32",), _never, _channels_last)
