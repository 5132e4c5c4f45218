"""Latency and throughput of exported networks against the published algorithm.

AOTInductor is compared with ``torch.compile`` of the same loop only with ``--compilers``, because
both compile for a minute or more.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
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
from mgnet_fast.export.graphs.loop import OpLoop, Outputs
from mgnet_fast.models import MGNet
from mgnet_fast.models.mgnet.published import published_forward

# Goals: how many times faster than the published algorithm in eager mode, by network and
# precision. That of int8 was reached on a processor with VNNI.
BARS = {("mgnet_resnet18", "fp32"): 1 / 0.41, ("mgnet_resnet18", "int8"): 1 / 0.17}
SIDES = {"mgnet_resnet18": 224, "mgnet_toy": 112}
PUBLISHED = "published algorithm, eager NCHW"
Loops = tuple[Callable[[Tensor], Outputs], Callable[[Tensor], Tensor]]


BATCHES = (1, 16)


@pytest.fixture(scope="module")
def onnx_file() -> Iterator[Callable[[str, str], Path]]:
    """Writes each file once, by network and precision."""
    with tempfile.TemporaryDirectory() as folder:

        @cache
        def written(name: str, precision: str) -> Path:
            model, path = _network(name), Path(folder) / f"{name}.{precision}.onnx"
            options = ExportOptions(precision=precision)  # type: ignore[arg-type]
            start = time.perf_counter()
            calibration = calibration_batches(model, options) if precision == "int8" else None
            write_onnx(model, path, options, calibration=calibration)
            print(f"\n{name} {precision}: exported in {time.perf_counter() - start:.1f} s")
            return path

        yield written


@pytest.fixture(scope="module")
def compiled_loops(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Loops]]:
    """AOTInductor's package and torch.compile's program of a network, each made once."""
    if not request.config.getoption("--compilers"):
        pytest.skip("compilations of minutes: ask for them with --compilers")
    with tempfile.TemporaryDirectory() as folder:

        @cache
        def compiled(name: str) -> Loops:
            model, path = _network(name), Path(folder) / f"{name}.pt2"
            options = ExportOptions()
            start = time.perf_counter()
            write_aot(model, path, options)
            print(f"\n{name}: AOTInductor took {time.perf_counter() - start:.1f} s")
            loop = torch.compile(OpLoop(model, options).eval(), dynamic=True)

            def run(images: Tensor) -> Tensor:
                with torch.no_grad():
                    return loop(images)[0]

            return load_aot(path), run

        yield compiled


def _network(name: str) -> MGNet:
    """The shipped toy network, or a network with random weights, which takes the same time."""
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


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", SIDES)
def test_onnxruntime(
    versus: Versus,
    threads: int,
    onnx_file: Callable[[str, str], Path],
    name: str,
    precision: str,
    batch: int,
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the extra export)")
    model, path = _network(name), onnx_file(name, precision)
    run, images = load_onnx(path), _images(model, name, batch)
    published = _published(model, images)
    versus(
        lambda: run(images), published,
        deviation=_deviation(run(images)[0], published()), tolerance=TOLERANCES[precision].logit,
        suite="export", op="ONNX Runtime", case=_case(name, model, batch),
        dtype={"fp32": "float32", "int8": "int8"}[precision], peer=PUBLISHED,
        target=BARS.get((name, precision)) if batch == 1 else None,
    )  # fmt: skip


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("peer", [PUBLISHED, "torch.compile, same loop"])
@pytest.mark.parametrize("name", SIDES)
def test_aotinductor(
    versus: Versus, compiled_loops: Callable[[str], Loops], name: str, peer: str, batch: int
) -> None:
    model, (run, compiled) = _network(name), compiled_loops(name)
    images = _images(model, name, batch)
    theirs = _published(model, images) if peer == PUBLISHED else lambda: compiled(images)
    versus(
        lambda: run(images), theirs,
        deviation=_deviation(run(images)[0], theirs()), tolerance=TOLERANCES["fp32"].logit,
        suite="export", op="AOTInductor", case=_case(name, model, batch),
        dtype="float32", peer=peer, target=None if peer == PUBLISHED else 1.0,
    )  # fmt: skip


def _deviation(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _case(name: str, model: MGNet, count: int) -> str:
    return f"{name}, T = {model.config.num_glimpses}, batch {count}, {SIDES[name]} px"
