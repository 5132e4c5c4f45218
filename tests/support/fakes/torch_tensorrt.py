"""A stand-in for the module torch_tensorrt, with as much of its API as the package calls.

It proves what is asked of the compiler, and in what order. What it "compiles" is the exported
program itself, run by PyTorch: so the numbers are those of the program, not those of an engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any


def fake_torch_tensorrt() -> tuple[Any, list[tuple[Any, ...]]]:
    """The module and the list of calls made on it."""
    calls: list[tuple[Any, ...]] = []

    def compile(program: Any, **options: Any) -> Any:
        calls.append(("compile", program, options))
        return program.module()

    def custom_op(name: str, **options: Any) -> None:
        calls.append(("custom_op", name, options))

    @contextlib.contextmanager
    def enable_cudagraphs(module: Any) -> Iterator[Any]:
        calls.append(("graphs on",))
        yield module
        calls.append(("graphs off",))

    plugins = SimpleNamespace(custom_op=custom_op)
    module = SimpleNamespace(
        Input=lambda **shape: SimpleNamespace(**shape),
        dynamo=SimpleNamespace(compile=compile, conversion=SimpleNamespace(plugins=plugins)),
        runtime=SimpleNamespace(enable_cudagraphs=enable_cudagraphs),
    )
    return module, calls
