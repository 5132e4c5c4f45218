"""The CPU runner with packed convolutions: this package's kernels, or oneDNN."""

from __future__ import annotations

import torch

from ..convolutions import (
    backbone_structure,
    native_convolution,
    packed_backbone,
    packed_convolution,
    weight_storage,
)
from ..convolutions.lower_precision import DTYPES
from .eager import runner_of
from .kind import RunnerKind, RunnerRequest
from .runner import Runner

NAME = "packed"


def _refusal(request: RunnerRequest) -> str | None:
    if request.device.type != "cpu":
        return f"it packs weights for kernels on the CPU, not on {request.device}"
    if not backbone_structure.is_known(request.model.backbone):
        return (
            "it knows the residual networks and the toy CNN of this package, not "
            f"{type(request.model.backbone).__name__}"
        )
    if request.weights != "fp32":
        refused = native_convolution.refusal()
        if refused is not None:
            return f"weights {request.weights!r} need this package's kernels: {refused}"
    return packed_convolution.refusal(DTYPES[request.precision])


def _build(request: RunnerRequest) -> Runner:
    network = request.network()
    dtype = DTYPES[request.precision]
    network.backbone = packed_backbone.pack(network.backbone, dtype, request.weights)
    return runner_of(network, request.folded, torch.channels_last, dtype)


PACKED = RunnerKind(
    NAME,
    tuple(DTYPES),
    _refusal,
    _build,
    takes_any_network=True,
    storages=weight_storage.STORAGES,
)
