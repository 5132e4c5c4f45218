"""Ops that keep their precision under autocast."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch


def without_autocast(device_type: str) -> Any:
    """A context in which autocast lowers nothing."""
    if device_type != "meta" and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return nullcontext()
