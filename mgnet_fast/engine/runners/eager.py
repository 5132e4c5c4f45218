"""Runners that need nothing prepared: the network's own modules, in either memory layout."""

from __future__ import annotations

import torch

from ..convolutions.lower_precision import DTYPES, lowered
from .kind import RunnerKind, RunnerRequest
from .plain import PlainRunner


def _never(request: RunnerRequest) -> None:
    return None


def _contiguous(request: RunnerRequest) -> PlainRunner:
    return _runner(request, torch.contiguous_format)


def _channels_last(request: RunnerRequest) -> PlainRunner:
    return _runner(request, torch.channels_last)


def _runner(request: RunnerRequest, layout: torch.memory_format) -> PlainRunner:
    network, dtype = request.network(), DTYPES[request.precision]
    if dtype != torch.float32:
        network.backbone = lowered(network.backbone, dtype, layout)
        return PlainRunner(network, request.folded, layout, dtype)
    network.backbone.to(memory_format=layout)  # type: ignore[call-overload]
    return PlainRunner(network, request.folded)


EAGER = RunnerKind("eager", tuple(DTYPES), _never, _contiguous)
CHANNELS_LAST = RunnerKind("channels_last", tuple(DTYPES), _never, _channels_last)
