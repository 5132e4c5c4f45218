"""The CUDA kernels compiled with nvcc, where it is installed: no GPU is needed for that.

What they compute is checked in plain C++: csrc/tests/test_gpu_blocks.cpp.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
SOURCE = CSRC / "gpu" / "glimpse_cuda.cu"
ARCHITECTURES = (80, 90, 100)
# 5 types of image forward and backward to the region, and as many antialiased; 2 types of image
# gradients, and as many antialiased; the gradient of the region.
KERNELS = 25


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
def test_compiles_without_register_spills(tmp_path: Path) -> None:
    options = ["-std=c++17", "-O3", "-fmad=false", "-DMGNET_ISA_GPU", "-I", CSRC, "--threads", "2"]
    for capability in ARCHITECTURES:
        options += ["-gencode", f"arch=compute_{capability},code=sm_{capability}"]
    run = subprocess.run(
        ["nvcc", *options, "-Xptxas", "-v", "-c", SOURCE, "-o", tmp_path / "cuda.o"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", run.stderr)
    assert len(spills) == KERNELS * len(ARCHITECTURES)
    assert set(spills) == {("0", "0")}, run.stderr
