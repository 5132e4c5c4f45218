"""Which backend is chosen, and what is said when one cannot run."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import mgnet_fast
from mgnet_fast import glimpse
from mgnet_fast.ops import resolve
from mgnet_fast.ops.backends import choice as backends
from mgnet_fast.ops.backends import cpu, cuda, native

IMAGE, REGION = torch.zeros(1, 1, 8, 8), torch.ones(1, 3)


def test_backends_are_listed_in_the_order_they_are_tried() -> None:
    rows = [row for row in mgnet_fast.backends() if row.device == "cpu"]
    assert [row.name for row in rows] == ["cpu", "reference"]
    assert all(row.reason for row in rows)
    first = next(row.name for row in rows if row.available)
    assert backends.choose("cpu", None) == first


def test_a_backend_that_cannot_run_says_why() -> None:
    with pytest.raises(ValueError, match=r"'cpu' cannot run on cuda tensors: it serves CPU"):
        backends.choose("cuda", "cpu")
    assert backends.choose("mps", None) == "reference"


def test_a_missing_extension_is_said_and_worked_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "extension", None)
    monkeypatch.setattr(backends, "_first_choice", {})
    monkeypatch.setattr(resolve, "_known", {})
    assert backends.choose("cpu", None) == "reference"
    assert "NOT IN USE" in cpu.describe()
    assert glimpse(IMAGE, REGION, 4).shape == (1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"'cpu' cannot run on cpu tensors: the extension"):
        glimpse(IMAGE, REGION, 4, backend="cpu")


def test_cuda_kernels_say_why_they_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"'cuda' cannot run on cpu tensors: it serves CUDA"):
        glimpse(IMAGE, REGION, 4, backend="cuda")

    def with_extension(extension: object) -> str | None:
        monkeypatch.setattr(native, "extension", extension)
        cuda._device_problem.cache_clear()
        return cuda.why_not("cuda")

    missing = SimpleNamespace(cuda=True, cuda_problem=lambda: "no CUDA device was found")
    assert with_extension(missing) == "no CUDA device was found"
    assert with_extension(SimpleNamespace(cuda=True, cuda_problem=lambda: "")) is None
    assert "built without it" in (with_extension(SimpleNamespace(cuda=False)) or "")
    assert "extension" in (with_extension(None) or "")
    cuda._device_problem.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_cuda_kernels_have_a_reason() -> None:
    reason = backends._REFUSALS["cuda"]("cuda")
    assert reason is not None
    with pytest.raises(ValueError, match="'cuda' cannot run on cuda tensors"):
        backends.choose("cuda", "cuda")


@pytest.mark.parametrize(("value", "outcome"), [("reference", "ok"), ("warp", "must be one of")])
def test_the_environment_chooses(value: str, outcome: str) -> None:
    program = (
        "import torch, mgnet_fast\n"
        "from mgnet_fast.ops.backends import choice as backends\n"
        "mgnet_fast.glimpse(torch.zeros(1, 1, 8, 8), torch.ones(1, 3), 4)\n"
        "assert backends.choose('cpu', None) == 'reference'\n"
        "print('ok')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MGNET_FAST_BACKEND": value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in run.stdout + run.stderr
