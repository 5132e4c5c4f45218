"""Which backend runs a glimpse, in which order they are tried, and why one cannot run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch

from . import cpu, cuda, native, triton

ENVIRONMENT_VARIABLE = "MGNET_FAST_BACKEND"

_log = logging.getLogger(__name__)

# Each takes a device type and says why the backend cannot serve it, or None where it can.
_REFUSALS: dict[str, Callable[[str], str | None]] = {
    "cpu": cpu.why_not,
    "triton": triton.why_not,
    "cuda": cuda.why_not,
    "reference": lambda device: None,
}
# The fastest first; the reference serves every device.
_ORDER: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu", "reference"),
    "cuda": ("triton", "cuda", "reference"),
}
_ORDER_ELSEWHERE = ("reference",)
LAUNCHERS: dict[str, native.Launcher | triton.Launcher] = {
    "cpu": cpu.LAUNCHER,
    "triton": triton.LAUNCHER,
    "cuda": cuda.LAUNCHER,
}
_TAKES_POOLS = ("cpu", "triton", "reference")

# (device, pool) -> backend, decided once per process
_first_choice: dict[tuple[str, bool], str] = {}

_requested_by_environment = os.environ.get(ENVIRONMENT_VARIABLE) or None


@dataclass(frozen=True)
class Backend:
    """One backend on one kind of device: whether it can run there, and if not why."""

    name: str
    device: str
    available: bool
    reason: str


def can_run(name: str, device: str, raise_error: bool = False, pool: bool = False) -> bool:
    """Whether backend ``name`` serves tensors, or pools, on ``device`` ("cpu", "cuda", ...).

    Raises:
        ValueError: the name is no backend, or, with ``raise_error``, why it cannot run.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"backend must be one of {', '.join(_REFUSALS)}, got {name} of type "
            f"{type(name).__name__}"
        )
    if name not in _REFUSALS:
        raise ValueError(f"backend must be one of {', '.join(_REFUSALS)}, got {name!r}")
    reason = _REFUSALS[name](device)
    if reason is None and pool and name not in _TAKES_POOLS:
        reason = f"it takes no ImagePool; {' and '.join(_TAKES_POOLS)} do"
    if reason is not None and raise_error:
        raise ValueError(f"backend {name!r} cannot run on {device} tensors: {reason}")
    return reason is None


def choose(device: str, requested: str | None, pool: bool = False) -> str:
    """The requested backend, else the environment's, else the first of the order that can run.

    Raises:
        ValueError: the requested backend cannot run, with the reason.
    """
    if requested is None or requested == "":
        requested = _requested_by_environment
    if requested is not None:
        can_run(requested, device, raise_error=True, pool=pool)
        return requested
    return _first_that_runs(device, pool)


def _first_that_runs(device: str, pool: bool) -> str:
    """Chosen once a process. A traced program takes the name and traces none of this: the log
    cannot be traced, and a choice made while tracing would not pass the trace's own guards."""
    key = (device, pool)
    if key not in _first_choice:
        order = _ORDER.get(device, _ORDER_ELSEWHERE)
        _first_choice[key] = next(name for name in order if can_run(name, device, pool=pool))
        kind = "pools" if pool else "tensors"
        _log.debug("glimpses of %s %s run in the %s backend", device, kind, _first_choice[key])
    return _first_choice[key]


# What torch.compiler.assume_constant_result sets. Calling it here would import torch._dynamo, and
# with it triton, which takes as long as importing torch.
_first_that_runs._dynamo_marked_constant = True  # type: ignore[attr-defined]


def backends() -> list[Backend]:
    """Every backend on the devices of this machine, in the order they are tried."""
    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    rows = []
    for device in devices:
        for name in _ORDER.get(device, _ORDER_ELSEWHERE):
            reason = _REFUSALS[name](device)
            rows.append(Backend(name, device, reason is None, reason or "can run"))
    return rows
