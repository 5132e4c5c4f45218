"""Starts a kernel on the device of its tensors."""

from __future__ import annotations

from typing import Any

import torch


def launch(
    kernel: Any,
    programs: int,
    device: torch.device,
    arguments: tuple[Any, ...],
    constants: dict[str, Any],
    warps: int,
) -> None:
    if programs == 0:
        return
    if device.type == "cuda" and device.index != torch.cuda.current_device():
        with torch.cuda.device(device):
            kernel[(programs,)](*arguments, **constants, num_warps=warps)
        return
    kernel[(programs,)](*arguments, **constants, num_warps=warps)
