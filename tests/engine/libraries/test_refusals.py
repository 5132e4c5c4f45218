"""Why a library cannot run a backbone, in a sentence, and what "auto" does then."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.backbone_libraries import require
from torch import Tensor, nn

from mgnet_fast import Engine, MGNet, MGNetConfig, create_model
from mgnet_fast.engine.libraries import library_runner, openvino_backbone
from mgnet_fast.engine.libraries.library import CannotRun, library
from mgnet_fast.engine.runners import choice

CONFIG = MGNetConfig(num_classes=3, in_chans=1, num_glimpses=2, glimpse_size=8)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "auto" tries the libraries, as it does outside the tests."""
    names = ("openvino", "onnxruntime")
    kinds = (replace(kind, is_tried=kind.is_tried or kind.name in names) for kind in choice.KINDS)
    monkeypatch.setattr(choice, "KINDS", tuple(kinds))


class Capricious(nn.Module):
    """Its path depends on a value, which a program cannot follow."""

    num_features = 4

    def forward(self, x: Tensor) -> Tensor:
        features = x.mean((2, 3)).repeat(1, 4)
        return features if features.sum() > 0 else -features


def test_what_cannot_be_exported_runs_without_libraries(runner: str, tried: None) -> None:
    model = MGNet(CONFIG, Capricious())
    with pytest.raises(
        ValueError, match=rf"'{runner}' cannot run: torch.export cannot export Capricious: \w"
    ):
        Engine(model, runner=runner)
    engine = Engine(model, slots=1)
    assert engine.runner in ("eager", "channels_last")
    assert f"; {runner} cannot run: torch.export cannot export Capricious: " in engine.reason
    assert "\n" not in engine.reason


def test_auto_tries_them(
    foreign: MGNet, runner: str, tried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fastest_last(runners: list[object], rows: int) -> list[float]:
        return [float(others) for others in reversed(range(len(runners)))]

    monkeypatch.setattr(choice, "median_step_seconds", fastest_last)
    kinds = [kind for kind in choice.KINDS if kind.name in ("eager", runner)]
    monkeypatch.setattr(choice, "KINDS", tuple(kinds))
    engine = Engine(foreign, slots=3)
    assert engine.runner == runner
    assert f"{runner} 0.00 ms" in engine.reason


def test_auto_goes_on_where_they_are_not_installed(
    foreign: MGNet, tried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    openvino_backbone.core.cache_clear()
    engine = Engine(foreign, slots=1)
    assert "; openvino cannot run: it needs openvino, which is not installed: " in engine.reason
    assert "onnxruntime cannot run: it needs onnx, which is not installed: " in engine.reason


def test_other_numbers_are_found_in_a_trial(foreign: MGNet) -> None:
    request = choice.RunnerRequest(foreign, torch.device("cpu"), "fp32", 2)
    wrong: dict[str, Callable[[Tensor], Tensor]] = {
        r"features were off by [\d.]+ of the largest": lambda x: torch.ones(len(x), 16),
        r"features \[3, 7\] instead of \[3, 16\]": lambda x: torch.ones(len(x), 7),
        r"it failed in a trial: no such kernel$": _fail,
    }
    for message, program in wrong.items():
        with pytest.raises(CannotRun, match=message):
            library_runner.library_runner(request, lambda threads, each=program: each)


def _fail(x: Tensor) -> Tensor:
    raise RuntimeError("\n  no such kernel\nat a place")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "meta"}, "it runs on the CPU, not on meta"),
        ({"precision": "int8"}, "int8 needs calibration: batches of images"),
    ],
)
def test_requests_that_cannot_be_met(foreign: MGNet, settings: dict, message: str) -> None:
    for name in ("openvino", "onnxruntime"):
        with pytest.raises(ValueError, match=f"'{name}' cannot run: {message}"):
            Engine(foreign, runner=name, **settings)


def test_padding_by_the_size_of_the_image_in_8_bits(runner: str) -> None:
    require(runner, "int8")
    whole = create_model("ffnet_efficientnet_b0", num_classes=2).eval()
    with pytest.raises(ValueError, match=r"padding of EfficientNet .* fp32 and bf16 only"):
        Engine(whole, runner=runner, precision="int8", calibration=torch.zeros(1, 3, 64, 64))


def test_halves_in_onnxruntime_need_a_file(foreign: MGNet) -> None:
    with pytest.raises(ValueError, match=r"in fp16 only what mgnet-fast export wrote .* as artef"):
        Engine(foreign, runner="onnxruntime", precision="fp16")
    with pytest.raises(ValueError, match=r"it runs in fp32, fp16, int8, not in bf16"):
        Engine(foreign, runner="onnxruntime", precision="bf16")


def test_a_processor_without_bfloat16(foreign: MGNet, monkeypatch: pytest.MonkeyPatch) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino_backbone, "core", Core)
    with pytest.raises(ValueError, match="this processor has no instructions for bfloat16 that Op"):
        Engine(foreign, runner="openvino", precision="bf16")


def test_a_library_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotRun, match=r"needs nothing_of_the_kind, which is not installed: pip"):
        library("nothing_of_the_kind", "1.0", "export")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.9.1+cpu")
    assert library("torch", "2.9", "export") is torch
    with pytest.raises(
        CannotRun, match=r"it needs torch 2\.10 or newer, and 2\.9\.1\+cpu is installed: pip"
    ):
        library("torch", "2.10", "export")


def test_a_broken_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("undefined symbol\nin this place")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(CannotRun, match=r"^torch .* cannot be imported: undefined symbol$"):
        library("torch", "2.0", "export")


def test_a_copy_goes_where_the_library_is_missing(
    engines: Callable[[str, str], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    function, arguments = engines("openvino", "fp32").__reduce__()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    openvino_backbone.core.cache_clear()
    with pytest.raises(ValueError, match="'openvino' cannot run: it needs openvino, which is not"):
        function(*arguments)
