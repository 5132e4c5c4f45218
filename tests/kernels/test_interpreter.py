"""The ops and a step of the engine, with the Triton kernels in the interpreter: no GPU needed."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mgnet_fast.ops.backends import choice as backends

TESTS = Path(__file__).resolve().parents[1]

FILES = (
    "ops/test_antialias_small.py", "ops/test_clamp_to_region.py", "ops/test_parity.py",
    "ops/test_gradients.py",
    "ops/test_registration.py", "ops/test_pool_parity.py", "ops/fusion/test_fuse_glimpse.py",
    "ops/fusion/test_fusion_step.py", "ops/fusion/test_slot_state.py",
    "ops/attention/test_kernels.py", "engine/test_step.py",
)  # fmt: skip
LEFT_OUT = {
    "test_bit_identical_for_any_number_of_threads": "the interpreter has one thread",
    "test_gradcheck": "thousands of launches; all gradients are compared with exact ones",
    "test_every_sampling_stride": "the stride between samples changes no path",
    "test_region_gradient_at_every_sampling_stride": "the stride changes no path",
    "test_averages_are_refused": "runs no kernel",
    "test_compiles_without_graph_breaks_or_recompiles": "a compiler sees the op, not its backend",
    "test_compiles_with_inductor": "a compiler sees the op, not its backend",
    "test_exports_with_dynamic_batch_and_size": "a compiler sees the op, not its backend",
    "test_transforms_of_torch_func_take_the_reference": "runs no kernel",
    "test_opcheck_and_compile": "runs the reference",
    "test_gradients_are_refused_in_words": "runs the reference",
    "test_what_cannot_be_folded_is_named": "runs no kernel",
    "test_wrong_arguments": "runs no kernel",
}
ONCE = ("test_opcheck",)  # runs the op dozens of times


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.skipif(
    importlib.util.find_spec("mgnet_fast.kernels") is None,
    reason="mgnet_fast.kernels is not installed",
)
def test_ops_in_the_interpreter() -> None:
    """In a process of its own: the kernels are made for the interpreter or not, once, at import."""
    paths = [TESTS / name for name in FILES]
    defined = "".join(path.read_text(encoding="utf-8") for path in paths)
    for name in (*LEFT_OUT, *ONCE):
        assert f"def {name}(" in defined, f"there is no {name} to leave out"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "support.triton_interpreter",
         "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning", *map(str, paths)],
        env={
            **os.environ,
            "TRITON_INTERPRET": "1",
            "MGNET_FAST_TESTS_LEFT_OUT": ",".join(LEFT_OUT),
            "MGNET_FAST_TESTS_ONCE": ",".join(ONCE),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        },
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert re.search(r"\d+ passed", run.stdout)
    assert "skipped" not in run.stdout


def test_cpu_tensors_need_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="'triton' cannot run on cpu tensors: it serves CUDA"):
        backends.choose("cpu", "triton")


def test_a_missing_triton_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(
        ValueError, match=r"cannot run on cuda tensors: .*pip install 'mgnet-fast\[triton\]'"
    ):
        backends.choose("cuda", "triton")
    monkeypatch.setattr(backends, "_first_choice", {})
    assert backends.choose("cuda", None) == "reference"
