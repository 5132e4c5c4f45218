"""The engine with an exported step in ONNX Runtime, and artefacts that do not fit."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mgnet_fast.demo import load_scenes
from mgnet_fast.engine import Confidence, Engine, Never
from mgnet_fast.engine.artefacts import onnx_session
from mgnet_fast.export import Exported, ExportOptions
from mgnet_fast.export.manifest import build_manifest
from mgnet_fast.models import MGNet, create_model

SLOTS = 4


@pytest.fixture(scope="module")
def scenes() -> Tensor:
    """Normalised scenes with digits [24, 1, 112, 112]."""
    scenes = load_scenes(24).scenes(torch.arange(24))
    return (scenes.float() / 255 - 0.1307) / 0.3081


def engine(model: MGNet, exported: Exported, precision: str = "fp32", **settings) -> Engine:
    settings = {"slots": SLOTS, "exit": Confidence(0.9), **settings}
    return Engine(
        model, "cpu", precision, runner="onnxruntime", artefact=exported.artefact, **settings
    )


def test_early_exits_are_those_of_the_eager_runner(toy, exported_step, scenes: Tensor) -> None:
    eager = Engine(toy, slots=SLOTS, runner="eager", exit=Confidence(0.9)).predict(scenes)
    ours = engine(toy, exported_step).predict(scenes)
    assert len({prediction.glimpses for prediction in eager}) > 1
    for one, other in zip(ours, eager, strict=True):
        assert (one.label, one.glimpses) == (other.label, other.glimpses)
        torch.testing.assert_close(one.regions, other.regions, atol=1e-4, rtol=0)


def test_a_step_that_is_given_its_glimpses(toy, exported_int8, scenes: Tensor) -> None:
    ours = engine(toy, exported_int8, "int8").predict(scenes)
    eager = Engine(toy, slots=SLOTS, runner="eager", exit=Confidence(0.9)).predict(scenes)
    assert [each.label for each in ours] == [each.label for each in eager]


@pytest.mark.parametrize("which", ["exported_step", "exported_int8"])
def test_streams_of_bytes_and_several_sizes(toy, which: str, request) -> None:
    exported = request.getfixturevalue(which)
    generator = np.random.default_rng(0)
    sizes = [(112, 112), (112, 112), (60, 90), (112, 80), (30, 30), (112, 112)]
    images = [generator.integers(0, 256, (*size, 1), np.uint8) for size in sizes]
    precision = "int8" if which == "exported_int8" else "fp32"
    ours = engine(toy, exported, precision, exit=Never()).predict(images)
    eager = Engine(toy, slots=SLOTS, runner="eager", exit=Never()).predict(images)
    if precision == "fp32":  # noise has no labels worth comparing in 8 bits
        assert [each.label for each in ours] == [each.label for each in eager]
    assert [each.glimpses for each in ours] == [3] * len(sizes)
    assert all(torch.isfinite(each.logits).all() for each in ours)


def test_it_takes_the_threads_that_torch_has(toy, exported_step, monkeypatch) -> None:
    import onnxruntime

    seen = []
    session = onnxruntime.InferenceSession

    def record(path, settings, **others):
        seen.append(settings.intra_op_num_threads)
        return session(path, settings, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", record)
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            engine(toy, exported_step)
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 2]


def test_a_loop_is_no_step(toy, exported) -> None:
    with pytest.raises(ValueError, match=r"is a loop, but the engine needs a step.*--what step"):
        engine(toy, exported)


def test_another_network_is_refused(toy, exported_step) -> None:
    other = copy.deepcopy(toy)
    with torch.no_grad():
        other.backbone.conv1.weight[0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="is of another network: its weights is"):
        engine(other, exported_step)
    with pytest.raises(ValueError, match="its num_glimpses is 3, the model's is 4"):
        engine(create_model("mgnet_toy", num_glimpses=4), exported_step)
    with pytest.raises(ValueError, match="its num_classes is 10, the model's is 7"):
        engine(create_model("mgnet_toy", num_classes=7), exported_step)
    with pytest.raises(ValueError, match="its token_width is 131, the model's is 515"):
        engine(create_model("mgnet_resnet18", num_glimpses=3, num_classes=10), exported_step)
    with pytest.raises(ValueError, match=r"its config\.glimpse_size is 28, the model's is 32"):
        engine(create_model("mgnet_toy", glimpse_size=32), exported_step)


def test_precision_and_slots_must_be_those_of_the_artefact(toy, exported_step, exported_int8):
    with pytest.raises(ValueError, match=r"is in int8, and precision is 'fp32': give precision="):
        engine(toy, exported_int8)
    with pytest.raises(ValueError, match=r"takes 1 to 16 images, and the engine sends 1 to 17"):
        engine(toy, exported_step, slots=17)


def test_what_is_no_artefact_is_refused(toy, exported_step, tmp_path: Path) -> None:
    import onnx

    with pytest.raises(FileNotFoundError, match=r"artefact .*none.onnx does not exist"):
        Engine(toy, runner="onnxruntime", artefact=tmp_path / "none.onnx")
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"half")
    with pytest.raises(ValueError, match=r"damaged.onnx cannot be loaded by onnxruntime"):
        Engine(toy, runner="onnxruntime", artefact=damaged)
    silent = onnx.load(exported_step.artefact)
    del silent.metadata_props[:]
    onnx.save(silent, tmp_path / "silent.onnx")
    with pytest.raises(ValueError, match=r"has no description, so mgnet-fast did not"):
        Engine(toy, runner="onnxruntime", artefact=tmp_path / "silent.onnx")


def test_a_missing_library_is_named_with_its_remedy(toy, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_session.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"onnxruntime, which is not installed: pip install"):
        Engine(toy, runner="onnxruntime", artefact=tmp_path / "step.onnx")


def test_images_of_sizes_that_the_artefact_does_not_take(toy) -> None:
    from mgnet_fast.engine.artefacts.artefact_runner import ArtefactRunner
    from mgnet_fast.engine.runners.runner import StepInput

    options = ExportOptions(what="step", image_size=(112, 112), input="uint8")
    manifest = build_manifest(toy, options, kind="onnx", class_names=None)
    runner = ArtefactRunner(None, manifest, toy, torch.device("cpu"))  # type: ignore[arg-type]
    state = (runner.initial_regions(1), runner.new_tokens(1), torch.ones(1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"112 to 112 pixels high .* got \[100, 112\]"):
        runner.step(StepInput(torch.zeros(1, 1, 100, 112, dtype=torch.uint8), *state))
    with pytest.raises(TypeError, match=r"images must be uint8 for this artefact"):
        runner.step(StepInput(torch.zeros(1, 1, 112, 112), *state))
