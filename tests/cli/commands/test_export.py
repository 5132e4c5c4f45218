"""``mgnet-fast export``: what is written, and what is refused before anything is."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgnet_fast.demo import load_scenes
from mgnet_fast.engine.artefacts import onnx_session

needs_onnx = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript or onnxruntime is not installed (the extra export)",
)


@needs_onnx
def test_a_step_with_its_exit_rule_on_photographs(command, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.effect_noise((300, 260), 40).save(photos / "large.png")
    Image.effect_noise((90, 200), 40).save(photos / "small.png")
    out = tmp_path / "out"
    result = command(
        *("export", "--what", "step", "--exit", "margin", "--threshold", 0.7, "-o", out),
        *("--sample", 10, "--sample-images", photos, "--tolerance", 0.01),
        *("--region-tolerance", 0.01, "--label-tolerance", 0.1, "--batch", "1:4:16"),
    )
    assert result.code == 0, result.err
    assert "10 images" in " ".join(result.out.split())
    assert f"wrote {out / 'step.onnx'}" in result.out
    assert "does not name its classes, so the manifest does not: give --labels FILE" in " ".join(
        result.out.split()
    )
    manifest = json.loads((out / "step.onnx.manifest.json").read_text())
    assert (manifest["exit"]["rule"], manifest["exit"]["threshold"]) == ("Margin", 0.7)
    report = json.loads((out / "step.onnx.parity.json").read_text())
    assert report["tolerances"] == {"logit": 0.01, "region": 0.01, "label": 0.1}


@needs_onnx
def test_an_exported_step_classifies_files(command, tmp_path: Path) -> None:
    scenes = load_scenes(6).scenes(np.arange(6)).numpy()
    files = [tmp_path / f"{number}.png" for number in range(len(scenes))]
    for file, scene in zip(files, scenes, strict=True):
        Image.fromarray(scene[0]).save(file)
    export = ("export", "--what", "step", "--sampling", "outside", "-o", tmp_path / "exported")
    assert command(*export, "--batch", "1:4:16", "--sample", 10).code == 0
    step = ("--runner", "onnxruntime", "--artefact", tmp_path / "exported" / "step.onnx")
    ours = command("predict", *files, *step, "--slots", 4)
    assert ours.code == 0, ours.err
    assert ours.err.rstrip().endswith("images/s (onnxruntime)")
    eager = command("predict", *files, "--runner", "eager")
    for one, other in zip(ours.out.splitlines(), eager.out.splitlines(), strict=True):
        row, wanted = json.loads(one), json.loads(other)
        assert [row[key] for key in ("path", "label", "glimpses")] == [
            wanted[key] for key in ("path", "label", "glimpses")
        ]


@pytest.mark.parametrize(
    ("words", "option", "said"),
    [
        (["--format", "tflite"], "--format", "'tflite' is not one of 'onnx'"),
        (["--precision", "fp8"], "--precision", "'fp8' is not one of 'fp32'"),
        (
            ["--format", "aot", "--precision", "int8"],
            "--precision",
            "precision must be fp32 for format aot, got int8; for int8 take format onnx or",
        ),
        (["--batch", "8:4:16"], "--batch", "1 <= min <= opt <= max, got 8:4:16"),
        (["--image-size", "1x1"], "--image-size", "2 to 16384 pixels, got (1, 1)"),
        (["-T", "0"], "--num-glimpses", "should be greater than or equal to 1"),
        (
            ["--what", "step", "--sampling", "outside", "--input", "uint8"],
            "--sampling",
            "sampling outside needs what = step and input = float",
        ),
        (["--threshold", "0.5"], "--threshold", "needs an exit rule; give --exit"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    command, tmp_path: Path, words: list[str], option: str, said: str
) -> None:
    result = command("export", "-o", tmp_path / "out", *words)
    told = " ".join(result.err.replace("│", " ").split())
    assert result.code == 2, told
    assert option in told
    assert said in told
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_one_sentence_with_the_remedy(
    command, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(onnx_session.importlib.util, "find_spec", lambda name: None)
    result = command("export", "-o", tmp_path / "out")
    assert result.code == 1
    told = " ".join(result.err.split())
    assert "onnx and onnxscript, which are not installed: pip install 'mgnet-fast[export]'" in told
    assert "Traceback" not in told


def test_bad_files_are_told_before_the_export(command, tmp_path: Path) -> None:
    labels = tmp_path / "names.txt"
    labels.write_text("zero\none\n")
    result = command("export", "-o", tmp_path / "out", "--labels", labels)
    assert result.code == 1
    assert "class_names must have one name for each of 10 classes, got 2" in " ".join(
        result.err.split()
    )
    result = command("export", "-o", tmp_path / "out", "--labels", tmp_path / "none.txt")
    assert result.code == 1
    assert "none.txt" in result.err
    assert not list((tmp_path / "out").glob("*"))
