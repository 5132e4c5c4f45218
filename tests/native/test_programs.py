"""The stand-alone C++ programs, built without sanitizers and run for a few seconds.

The long fuzz under the sanitizers is a command of its own:

    cmake -S . -B build/fuzz -G Ninja -DMGNET_FAST_PYTHON=OFF -DMGNET_FAST_TESTS=ON \
        -DMGNET_FAST_SANITIZE=ON -DMGNET_FAST_AVX512=OFF
    cmake --build build/fuzz && build/fuzz/csrc/tests/fuzz --runs 100000
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in ("cmake", "ninja", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    build = tmp_path_factory.mktemp("programs")
    options = ("-DMGNET_FAST_PYTHON=OFF", "-DMGNET_FAST_TESTS=ON", "-DMGNET_FAST_AVX512=OFF")
    subprocess.run(["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *options], check=True)
    subprocess.run(["cmake", "--build", build], check=True)
    return build / "csrc" / "tests"


def test_against_the_naive_definition(programs: Path) -> None:
    subprocess.run([programs / "test_glimpse", "--runs", "1000", "--seed", "11"], check=True)


def test_backbones_against_their_definition(programs: Path) -> None:
    subprocess.run([programs / "test_backbone", "--runs", "500", "--seed", "16"], check=True)


def test_convolutions_against_their_definition(programs: Path) -> None:
    subprocess.run([programs / "test_convolution", "--runs", "300", "--seed", "15"], check=True)


def test_the_fusion_step_against_its_formulas(programs: Path) -> None:
    subprocess.run([programs / "test_fusion", "--runs", "500", "--seed", "14"], check=True)


def test_the_attention_pool_against_its_formulas(programs: Path) -> None:
    subprocess.run([programs / "test_attention", "--runs", "100", "--seed", "15"], check=True)


def test_gpu_kernels_in_plain_cpp(programs: Path) -> None:
    subprocess.run([programs / "test_gpu_blocks", "--runs", "1000", "--seed", "13"], check=True)


def test_short_fuzz(programs: Path) -> None:
    subprocess.run([programs / "fuzz", "--runs", "2000", "--seed", "12"], check=True)
