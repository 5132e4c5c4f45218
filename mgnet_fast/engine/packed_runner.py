"""The runner on a CPU whose convolutions were packed for oneDNN once."""

from __future__ import annotations

import torch

from . import packed_backbone, packed_convolution
from .plain import PlainRunner
from .runner_kind import RunnerKind, RunnerRequest


def _refusal(request: RunnerRequest) -> str | None:
    if request.device.type != "cpu":
        return f"it packs weights for oneDNN, which runs on the CPU, not on {request.device}"
    if not packed_backbone.can_pack(request.model.backbone):
        return (
            "it knows the residual networks and the toy CNN of this package, not "
            f"{type(request.model.backbone).__name__}"
        )
    return packed_convolution.refusal()


def _build(request: RunnerRequest) -> PlainRunner:
    network = request.network()
    network.backbone = packed_backbone.pack(network.backbone)
    return PlainRunner(network, request.folded, torch.channels_last)


PACKED = RunnerKind("packed", ("fp32",), _refusal, _build)
