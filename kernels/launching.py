"""Starts a kernel on the device of its tensors."""

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
    """What the compiler is told beside the number of warps, on GPUs of capability 80, 90, ..."""
    # Left alone, the assembler spills 8 bytes in two of the kernels for sm_80, to fit one more
    # block on a multiprocessor; told any limit, it does not try. For newer GPUs it spills nothing.
    return {"maxnreg": 255} if capability < 90 else {}


@functools.cache
def _capability(index: int | None) -> int:
    major, minor = torch.cuda.get_device_capability(index)
    return 10 * major + minor
