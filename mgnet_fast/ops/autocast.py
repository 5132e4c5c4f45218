"""Autocast, switched off where an op must keep its precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def under_autocast(device_type: str) -> bool:
    """Whether autocast is on for ``device_type``; False where autocast does not know the device."""
    return torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type)


def without_autocast(device_type: str) -> AbstractContextManager[object]:
    """A context in which autocast lowers nothing, on any type of device."""
    if under_autocast(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
