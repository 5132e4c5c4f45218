"""Exported networks at batch 1 against the published algorithm; and what an export takes.

The AOTInductor package is compared with ``torch.compile`` of the same loop by ``--compilers``
alone: both compile for a minute or more.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.conftest import Versus
from mgnet_fast import create_model
from mgnet_fast.export import (
    TOLERANCES,
    BatchRange,
    ExportOptions,
    calibration_batches,
    load_aot,
    load_onnx,
    write_aot,
    write_onnx,
)
from mgnet_fast.export.loop import OpLoop
from mgnet_fast.models import MGNet
from mgnet_fast.models.published import published_forward

# How many times faster than the published algorithm in eager mode, by network and precision. The
# one of int8 was reached on a processor with VNNI.
BARS = {("mgnet_resnet18", "fp32"): 1 / 0.41, ("mgnet_resnet18", "int8"): 1 / 0.17}
SIDES = {"mgnet_resnet18": 224, "mgnet_toy": 112}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _network(name: str) -> MGNet:
    """The shipped toy, or a network with random weights: the time is the same as with others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "mgnet_toy":
            return create_model(name, pretrained=True).eval()
        return create_model(name, num_classes=100).eval()


def _images(model: MGNet, name: str, count: int) -> Tensor:
    options = ExportOptions(BatchRange(count, count, count), (SIDES[name],) * 2)
    return next(calibration_batches(model, options))


def _published(model: MGNet, images: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return published_forward(model, images)["n_logit"]

    return run


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["mgnet_resnet18", "mgnet_toy"])
def test_onnxruntime(versus: Versus, threads: int, folder: Path, name: str, precision: str) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the extra export)")
    model, path = _network(name), folder / f"{name}.{precision}.onnx"
    options = ExportOptions(precision=precision)  # type: ignore[arg-type]
    start = time.perf_counter()
    calibration = calibration_batches(model, options) if precision == "int8" else None
    write_onnx(model, path, options, calibration=calibration)
    print(f"\n{name} {precision}: exported in {time.perf_counter() - start:.1f} s")
    run, images = load_onnx(path), _images(model, name, 1)
    published = _published(model, images)
    expected = published()
    difference = (run(images)[0] - expected).abs().max() / expected.abs().max()
    versus(
        lambda: run(images), published,
        deviation=float(difference), tolerance=TOLERANCES[precision].logit,
        suite="export", op="ONNX Runtime", case=_case(name, model, 1),
        dtype={"fp32": "float32", "int8": "int8"}[precision],
        peer="published algorithm, eager NCHW", target=BARS.get((name, precision)),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["mgnet_resnet18", "mgnet_toy"])
def test_aotinductor(
    versus: Versus, folder: Path, request: pytest.FixtureRequest, name: str
) -> None:
    if not request.config.getoption("--compilers"):
        pytest.skip("two compilations of a minute or more: ask for them with --compilers")
    model, path = _network(name), folder / f"{name}.pt2"
    options = ExportOptions()
    start = time.perf_counter()
    write_aot(model, path, options)
    print(f"\n{name}: AOTInductor took {time.perf_counter() - start:.1f} s")
    run, images = load_aot(path), _images(model, name, 1)
    loop = OpLoop(model, options).eval()
    start = time.perf_counter()
    compiled = torch.compile(loop, dynamic=True)
    with torch.no_grad():
        expected = compiled(images)[0]
    print(f"{name}: torch.compile took {time.perf_counter() - start:.1f} s")

    def peer() -> Tensor:
        with torch.no_grad():
            return compiled(images)[0]

    difference = (run(images)[0] - expected).abs().max() / expected.abs().max()
    versus(
        lambda: run(images), peer,
        deviation=float(difference), tolerance=TOLERANCES["fp32"].logit,
        suite="export", op="AOTInductor", case=_case(name, model, 1),
        dtype="float32", peer="torch.compile, same loop", target=1.0,
    )  # fmt: skip


def _case(name: str, model: MGNet, count: int) -> str:
    return f"{name}, T = {model.config.num_glimpses}, batch {count}, {SIDES[name]} px"
