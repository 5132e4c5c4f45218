"""Exported networks against the eager model; what they accept; what is never left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mgnet_fast.engine.artefacts import onnx_session
from mgnet_fast.export import (
    OUTPUT_NAMES,
    BatchRange,
    Exported,
    ExportOptions,
    Format,
    Parity,
    export_model,
    load_onnx,
    measure_parity,
    write_onnx,
)
from mgnet_fast.export.formats import known as formats
from mgnet_fast.models import create_model


def test_digit_scenes_agree_with_the_eager_model(exported: Exported) -> None:
    assert exported.parity.holds
    assert exported.parity.images == 64
    report = json.loads(exported.report.read_text())
    assert report == exported.parity.to_dict() | {"artefact_was_run": True, "not_run": None}


@pytest.mark.parametrize("shape", [(1, 112, 112, 1), (3, 90, 150, 1), (2, 28, 28, 1)], ids=str)
def test_any_batch_and_size(toy, exported: Exported, shape: tuple[int, ...]) -> None:
    images = torch.linspace(0, 255, shape[1] * shape[2]).reshape(1, *shape[1:])
    images = images.repeat(shape[0], 1, 1, 1).to(torch.uint8)
    parity = measure_parity(load_onnx(exported.artefact), toy, [images])
    assert parity.holds, parity


def test_names_opset_and_one_gridsample_a_glimpse(toy, exported: Exported) -> None:
    import onnx as library

    model = library.load(exported.artefact)
    assert [each.name for each in model.graph.input] == ["images"]
    assert tuple(each.name for each in model.graph.output) == OUTPUT_NAMES
    assert {each.domain: each.version for each in model.opset_import}[""] == 18
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("GridSample") == toy.config.num_glimpses
    assert "AffineGrid" not in kinds


def test_the_manifest_says_how_to_run_it(exported: Exported) -> None:
    manifest = json.loads(exported.manifest.read_text())
    assert manifest["input"]["shape"] == ["batch", "height", "width", 1]
    assert manifest["input"]["batch"] == {"min": 1, "opt": 8, "max": 64}
    assert manifest["preprocessing"]["inside"] is True
    assert manifest["outputs"][0]["shape"] == [3, "batch", 10]
    assert manifest["versions"]["torch"] == torch.__version__


def wrong_by(amount: float):
    def run(images: torch.Tensor):
        n_logit = torch.zeros(1, len(images), 2)
        n_logit[..., 0] = 1 + amount
        return n_logit, torch.zeros(1, len(images), 3), torch.zeros(len(images), dtype=torch.long)

    return run


def stands_in(images: torch.Tensor, *, num_glimpses: int | None = None):
    n_logit, regions, _ = wrong_by(0.0)(images)
    return {"n_logit": n_logit, "n_affparam": regions}


@pytest.mark.parametrize(("amount", "holds"), [(5e-4, True), (2e-3, False), (float("nan"), False)])
def test_parity_counts_what_is_off(amount: float, holds: bool) -> None:
    parity = measure_parity(wrong_by(amount), stands_in, [torch.zeros(2, 1, 4, 4)])
    assert parity.holds is holds
    assert parity.images == 2


def test_a_changed_label_is_a_miss() -> None:
    assert not Parity(10, 1.0, 0.0, 0.0, 0.0, 0.0, labels_changed=1).holds


def fake_format(monkeypatch: pytest.MonkeyPatch, write, load) -> None:
    monkeypatch.setitem(formats.FORMATS, "onnx", Format("onnx", write, load))


def test_a_failed_write_leaves_nothing(toy, tmp_path: Path, monkeypatch) -> None:
    def fail(model, path: Path, options) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("disk full")

    fake_format(monkeypatch, fail, None)
    with pytest.raises(RuntimeError, match="disk full"):
        export_model(toy, tmp_path, "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missed_parity_leaves_the_report_only(toy, tmp_path: Path, monkeypatch) -> None:
    def run(images: torch.Tensor):
        count = len(images)
        label = torch.zeros(count, dtype=torch.long)
        return torch.zeros(3, count, 10), torch.zeros(3, count, 3), label

    fake_format(monkeypatch, lambda model, path, options: path.touch(), lambda path: run)
    done = export_model(toy, tmp_path, "onnx")
    assert not done.parity.holds
    assert done.report.name == "loop.onnx.missed.json"
    assert list(tmp_path.iterdir()) == [done.report]


def test_a_missed_parity_leaves_an_earlier_export_as_it_was(toy, tmp_path: Path, monkeypatch):
    sample = [torch.zeros(2, 1, 28, 28)]

    def right(images: torch.Tensor):
        with torch.no_grad():
            found = toy(images)
        return found["n_logit"], found["n_affparam"], found["n_logit"][-1].argmax(dim=-1)

    def wrong(images: torch.Tensor):
        n_logit, regions, label = right(images)
        return n_logit + 1, regions, label

    files = {}
    for name, run in (("first", right), ("second", wrong), ("third", right)):

        def write(model, path: Path, options, name: str = name) -> None:
            path.write_text(name)

        fake_format(monkeypatch, write, lambda path, run=run: run)
        done = export_model(toy, tmp_path, "onnx", sample=sample)
        assert done.parity.holds is (run is right)
        files[name] = {path.name: path.read_text() for path in tmp_path.iterdir()}
    missed = files["second"].pop("loop.onnx.missed.json")
    assert files["second"] == files["first"]
    assert json.loads(missed)["holds"] is False
    assert files["third"]["loop.onnx"] == "third"
    assert files["third"].keys() == files["first"].keys()


@pytest.mark.parametrize("text", ["8:1:64", "0:1:2", "a:b:c", "1:2", ""])
def test_batch_ranges_out_of_order_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"batch must be min:opt:max"):
        BatchRange.parse(text)


def test_unfit_options_are_refused(toy, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"format must be one of onnx, aot, .*, got 'tflite'"):
        export_model(toy, tmp_path, "tflite")
    with pytest.raises(ValueError, match="depend on the image's size"):
        export_model(create_model("ffnet_toy"), tmp_path, "onnx")
    with pytest.raises(ValueError, match="one name for each of 10 classes, got 1"):
        export_model(toy, tmp_path, "onnx", class_names=["zero"])


def test_a_missing_library_is_named_with_its_remedy(toy, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(onnx_session.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"ONNX needs onnx and onnxscript, which are not installed: pip install"
    ):
        write_onnx(toy, tmp_path / "x.onnx", ExportOptions())
