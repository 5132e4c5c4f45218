"""Triton kernels compiled for a GPU that is not there, from the launches of the real launchers."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import mangle_type

from mgnet_fast.kernels import launching


@dataclass(frozen=True)
class Launch:
    kernel: Any
    programs: int
    arguments: dict[str, Any]
    constants: dict[str, Any]
    warps: int


@dataclass(frozen=True)
class Usage:
    """Of one thread: its registers, and the bytes of them that go to memory and back."""

    registers: int
    spilled: int


def launches_of(run: Callable[[], Any]) -> list[Launch]:
    """What ``run`` would start. Its tensors may be on the meta device."""
    seen: list[Launch] = []

    def record(
        kernel: Any, programs: int, device: torch.device, arguments: tuple[Any, ...],
        constants: dict[str, Any], warps: int,
    ) -> None:  # fmt: skip
        names = kernel.arg_names[: len(arguments)]
        assert len(names) + len(constants) == len(kernel.arg_names)
        bound = dict(zip(names, arguments, strict=True))
        seen.append(Launch(kernel, programs, bound, constants, warps))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching, "launch", record)
        run()
    return seen


def compiled(launch: Launch, capability: int) -> Any:
    """The kernel with the specialisations that Triton would choose for this launch."""
    signature: dict[str, str] = {}
    constants: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], Any] = {}
    values = launch.arguments | launch.constants
    for parameter in launch.kernel.params:
        value, place = values[parameter.name], (parameter.num,)
        specialized = not parameter.do_not_specialize
        is_one = isinstance(value, int) and value == 1 and specialized
        if parameter.is_constexpr or value is None or is_one:
            signature[parameter.name] = "constexpr"
            constants[place] = value
            continue
        signature[parameter.name] = parameter.annotation_type or mangle_type(value)
        divisible = isinstance(value, int) and value % 16 == 0 and specialized
        if isinstance(value, torch.Tensor) or divisible:
            attributes[place] = [["tt.divisibility", 16]]
    source = ASTSource(launch.kernel, signature, constants, attributes)
    target = GPUTarget("cuda", capability, 32)
    options = {"num_warps": launch.warps, **launching.compile_options(capability)}
    return triton.compile(source, target=target, options=options)


def usage(kernel: Any, capability: int) -> Usage:
    """As the assembler in Triton's own wheel reports it. The stack frame says less: calls, such as
    a division of doubles, take some without spilling."""
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    tool = tools / "ptxas-blackwell"
    if capability < 100 or not tool.exists():
        tool = tools / "ptxas"
    ptx = kernel.asm["ptx"]
    target = re.search(r"\.target (sm_\w+)", ptx)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        report = subprocess.run(
            [str(tool), "-v", f"--gpu-name={target[1]}", str(source),
             "-o", str(source.with_suffix(".cubin"))],
            capture_output=True, text=True, check=True,
        ).stderr  # fmt: skip
    registers = re.search(r"Used (\d+) registers", report)
    stores = re.findall(r"(\d+) bytes spill stores", report)
    if registers is None or not stores:
        raise ValueError(f"cannot read the assembler's report: {report}")
    return Usage(int(registers[1]), sum(map(int, stores)))
