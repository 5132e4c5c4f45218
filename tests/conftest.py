"""What every test folder shares: the backends under test, poisoned memory, one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from mgnet_fast.ops.backends import choice as backends

# Programs that tests start must find the installed package, not the folder they are started from.
os.environ["PYTHONSAFEPATH"] = "1"

# In Triton's interpreter the tests of the ops are run again: tests/kernels/test_interpreter.py.
NATIVE_BACKENDS = ("triton",) if os.environ.get("TRITON_INTERPRET") == "1" else ("cpu",)


@pytest.fixture(scope="session", autouse=True)
def auto_tries_no_other_library() -> Iterator[None]:
    """What happens to be installed must not change which runners the tests of others get."""
    from mgnet_fast.engine.runners import choice

    before = choice.KINDS
    names = ("openvino", "onnxruntime")
    choice.KINDS = tuple(
        replace(kind, is_tried=kind.is_tried and kind.name not in names) for kind in before
    )
    yield
    choice.KINDS = before


@pytest.fixture(params=NATIVE_BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each native backend in turn; one that cannot run here is skipped with its reason."""
    name: str = request.param
    try:
        backends.can_run(name, "cpu", raise_error=True)
    except ValueError as reason:
        pytest.skip(str(reason))
    return name


@pytest.fixture
def poisoned_memory() -> Iterator[None]:
    """Fresh tensors are full of NaN, so that an element nobody writes is seen."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
