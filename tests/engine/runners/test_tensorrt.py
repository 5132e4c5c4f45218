"""The runner of TensorRT engines: what it refuses, and what it gives to and takes from an engine.

No engine is run: a session is replaced by the exported step as a PyTorch module.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mgnet_fast.engine import Engine, Never
from mgnet_fast.engine.artefacts.step_artefact import STEP_INPUTS, STEP_OUTPUTS
from mgnet_fast.engine.runners import tensorrt as tensorrt_runner
from mgnet_fast.engine.runners.kind import RunnerRequest
from mgnet_fast.engine.runners.runner import StepInput
from mgnet_fast.engine.runners.tensorrt import TENSORRT
from mgnet_fast.export import BatchRange, ExportOptions
from mgnet_fast.export.graphs.step import PlainStep
from mgnet_fast.export.manifest import build_manifest
from mgnet_fast.models import create_model

OPTIONS = ExportOptions(BatchRange(1, 4, 4), what="step", sampling="outside")


@pytest.fixture(scope="module")
def toy():
    return create_model("mgnet_toy", pretrained=True).eval()


def artefact_of(model, folder: Path, kind: str = "tensorrt", **changes: object) -> Path:
    manifest = build_manifest(model, OPTIONS, kind=kind, class_names=None) | changes
    path = folder / "step.plan"
    path.write_bytes(b"engine")
    (folder / "step.plan.manifest.json").write_text(json.dumps(manifest))
    return path


def request_for(model, artefact: Path | None, device: str = "cuda") -> RunnerRequest:
    return RunnerRequest(model, torch.device(device), "fp32", slots=4, artefact=artefact)


@pytest.fixture
def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_runner, "no_device", lambda: None)


def test_without_a_gpu_it_refuses(toy, tmp_path: Path, monkeypatch) -> None:
    artefact = artefact_of(toy, tmp_path)
    with pytest.raises(ValueError, match="'tensorrt' cannot run: it runs on a GPU, not on cpu"):
        Engine(toy, runner="tensorrt", artefact=artefact)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refusal = TENSORRT.refusal(request_for(toy, artefact))
    assert refusal is not None
    assert "no CUDA device" in refusal
    with pytest.raises(ValueError, match="give its path as artefact"):
        Engine(toy, runner="tensorrt")


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize(
    ("kind", "title"), [("tensorrt", "TensorRT"), ("tensorrt-rtx", "TensorRT-RTX")]
)
def test_the_library_is_that_of_the_engine(toy, tmp_path: Path, monkeypatch, kind, title) -> None:
    monkeypatch.setattr(tensorrt_runner, "is_installed", lambda name: False)
    refusal = TENSORRT.refusal(request_for(toy, artefact_of(toy, tmp_path, kind)))
    assert refusal is not None
    assert refusal.startswith(f"{title} is not installed: pip install")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"what": "loop"}, "is a loop, but the engine needs a step"),
        ({"weights": "0" * 16}, "is of another network: its weights is '0000000000000000'"),
        ({"precision": "fp16"}, "is in fp16, and precision is 'fp32'"),
    ],
)
def test_engines_that_do_not_fit_are_refused(toy, tmp_path: Path, changes, said: str) -> None:
    artefact = artefact_of(toy, tmp_path, **changes)
    with pytest.raises(ValueError, match=said):
        TENSORRT.build(request_for(toy, artefact))


def test_an_engine_without_a_manifest_is_refused(toy, tmp_path: Path) -> None:
    artefact = artefact_of(toy, tmp_path)
    (tmp_path / "step.plan.manifest.json").unlink()
    with pytest.raises(ValueError, match="has no description"):
        TENSORRT.build(request_for(toy, artefact))


def test_its_steps_are_those_of_the_eager_runner(toy, tmp_path: Path, monkeypatch) -> None:
    step, opened = PlainStep(toy, OPTIONS).eval(), []

    class Session:
        def __init__(self, library: object, path: Path, device: torch.device) -> None:
            opened.append((library, path, device))

        def __call__(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            found = step(*(tensors[name] for name in STEP_INPUTS))
            return dict(zip(STEP_OUTPUTS, found, strict=True))

    monkeypatch.setattr(tensorrt_runner, "import_library", lambda name: name)
    monkeypatch.setattr(tensorrt_runner, "EngineSession", Session)
    artefact = artefact_of(toy, tmp_path, "tensorrt-rtx")
    runner = TENSORRT.build(request_for(toy, artefact, "cpu"))
    assert opened == [("tensorrt_rtx", artefact, torch.device("cpu"))]
    images = torch.rand(4, 1, 112, 112, generator=torch.Generator().manual_seed(0))
    region, tokens = runner.initial_regions(4), runner.new_tokens(4)
    length = torch.zeros(4, dtype=torch.int64)
    logits = []
    for _ in range(toy.config.num_glimpses):
        length += 1
        now, region = runner.step(StepInput(images, region, tokens, length))
        logits.append(now)
    wanted = Engine(toy, runner="eager", slots=4, exit=Never()).logits_after_each(images)
    torch.testing.assert_close(torch.stack(logits), wanted, rtol=1e-3, atol=1e-3)
