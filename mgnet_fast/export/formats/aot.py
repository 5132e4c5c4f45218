"""Loop or step compiled ahead of time by AOTInductor: a ``.pt2`` package for the CPU."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ... import functional
from ...models import GlimpseNetwork, MGNet
from ..graphs.loop import OpLoop, build_loop
from ..graphs.parts import check_exportable
from ..graphs.program import exported_program
from ..graphs.step import OpStep
from ..options import ExportOptions

__all__ = ["functional", "load_aot", "write_aot"]


def write_aot(model: GlimpseNetwork, path: str | os.PathLike[str], options: ExportOptions) -> None:
    """Compile ``model`` (on the CPU, in evaluation mode) into a package for this processor.

    Args:
        model: the network.
        path: must end in ``.pt2``.
        options: what the program accepts.

    Raises:
        RuntimeError: there is no C++ compiler.
        ValueError: the options do not fit the network.
        TypeError: only MGNets have this form.
    """
    check_exportable(model, "aot", options)
    compiler = os.environ.get("CXX") or "g++"
    if shutil.which(compiler.split()[0]) is None and shutil.which("clang++") is None:
        raise RuntimeError(
            f"AOTInductor needs a C++ compiler, but {compiler!r} is not on PATH: install g++ "
            "or name one in CXX"
        )
    if options.what == "step":
        assert isinstance(model, MGNet)  # see check_exportable
        module: nn.Module = OpStep(model, options)
    else:
        module = build_loop(OpLoop, model, options)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings of torch
        program = exported_program(module, model, options)
        torch._inductor.aoti_compile_and_package(program, package_path=os.fspath(path))


def load_aot(path: str | os.PathLike[str]) -> Callable[..., tuple[Tensor, ...]]:
    """The package's function from inputs to outputs.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"package {os.fspath(path)} does not exist")
    package: Any = torch._inductor.aoti_load_package(os.fspath(path))

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(package(*(each.contiguous() for each in inputs)))

    return run
