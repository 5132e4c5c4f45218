"""Launches a kernel on the device of its tensors."""

from __future__ import annotations

import functools
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
    if device.type != "cuda":
        kernel[(programs,)](*arguments, **constants, num_warps=warps)
        return
    if device.index != torch.cuda.current_device():
        with torch.cuda.device(device):
            launch(kernel, programs, device, arguments, constants, warps)
        return
    options = compile_options(_capability(device.index))
    kernel[(programs,)](*arguments, **constants, num_warps=warps, **options)


def compile_options(capability: int) -> dict[str, int]:
    """Compiler options besides the number of warps, for compute capability 80, 90, ..."""
    # By default, ptxas spills 8 bytes in two kernels for sm_80 to fit one more block on a
    # multiprocessor. With an explicit limit it does not. For newer GPUs it never spills.
    return {"maxnreg": 255} if capability < 90 else {}


@functools.cache
def _capability(index: int | None) -> int:
    major, minor = torch.cuda.get_device_capability(index)
    return 10 * major + minor
