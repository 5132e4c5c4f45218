"""``mgnet-fast predict`` on a folder of digits, good and bad."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import ExifTags, Image
from torch import Tensor

from mgnet_fast import Confidence, Engine, create_model, save_checkpoint
from mgnet_fast.cli.options.engine import EnginePrecision, EngineRunner, EngineWeights
from mgnet_fast.demo import load_model, load_scenes
from mgnet_fast.engine.runners import choice as runner_choice
from mgnet_fast.engine.runners.choice import PRECISIONS, RUNNERS, STORAGES

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty digit scenes as PNG files."""
    path = tmp_path_factory.mktemp("digits")
    for number, scene in enumerate(load_scenes(COUNT).scenes(np.arange(COUNT)).numpy()):
        Image.fromarray(scene[0]).save(path / f"{number:02}.png")
    return path


def _scenes() -> Tensor:
    return load_scenes(COUNT).scenes(np.arange(COUNT))


@pytest.fixture(scope="module")
def wanted() -> list[tuple[int, int]]:
    """Label and glimpses of each."""
    engine = Engine(load_model(), exit=Confidence(0.9))
    return [(result.label, result.glimpses) for result in engine.predict(_scenes())]


def test_json_lines_in_the_order_of_the_files(command, folder: Path, wanted: list) -> None:
    result = command("predict", folder)
    assert result.code == 0
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [Path(row["path"]).name for row in rows] == [f"{n:02}.png" for n in range(COUNT)]
    assert [(row["label"], row["glimpses"]) for row in rows] == wanted
    assert all(len(row["regions"]) == row["glimpses"] for row in rows)
    assert all(0 < row["probability"] <= 1 and row["finite"] for row in rows)
    assert result.err.startswith(f"{COUNT} images, ")
    assert "images/s" in result.err


def test_csv_by_the_suffix(
    command, folder: Path, wanted: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Which runner is faster is measured anew each time; another one may round otherwise.
    monkeypatch.setattr(
        runner_choice, "median_step_seconds", lambda runners, _: range(len(runners))
    )
    out = tmp_path / "labels.csv"
    result = command("predict", folder, "--out", out)
    assert (result.code, result.out) == (0, "")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["label"]), int(row["glimpses"])) for row in rows] == wanted
    assert command("predict", folder, "--format", "csv").out == out.read_text()


def test_damaged_and_missing_files_are_reported_and_the_rest_is_finished(
    command, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.png").write_bytes((folder / "00.png").read_bytes()[:150])
    (tmp_path / "text.png").write_text("hello")
    pattern = str(folder / "0*.png")
    result = command("predict", folder / "01.png", tmp_path, pattern, tmp_path / "absent.png")
    assert result.code == 1
    assert len(result.out.splitlines()) == 11
    assert f"skipped: {tmp_path / 'cut.png'}: " in result.err
    assert f"skipped: {tmp_path / 'text.png'}: cannot identify image file" in result.err
    assert f"skipped: {tmp_path / 'absent.png'}: there is no such file" in result.err
    assert result.err.splitlines()[-1].startswith("11 images, ")
    assert result.err.splitlines()[-1].endswith(", 3 skipped")


def test_nothing_but_damage(command, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    result = command("predict", tmp_path)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1].startswith("0 images")


def test_images_of_all_sizes_and_kinds(command, folder: Path, wanted: list, tmp_path: Path) -> None:
    scene = Image.open(folder / "00.png")
    scene.convert("RGBA").save(tmp_path / "a.png")
    scene.convert("CMYK").save(tmp_path / "b.tif")
    Image.fromarray(np.asarray(scene).astype(np.uint16) * 257).save(tmp_path / "c.png")
    Image.new("L", (1, 1)).save(tmp_path / "d.png")
    Image.new("L", (3000, 500)).save(tmp_path / "e.png")
    result = command("predict", tmp_path, "--slots", 2)
    assert result.code == 0
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["label"] for row in rows[:3]] == [wanted[0][0]] * 3
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("words", "glimpses"),
    [
        (("--exit", "never"), {3}),
        (("--exit", "entropy", "--threshold", 99), {1}),
        (("--exit", "margin", "--threshold", "inf"), {3}),
    ],
)
def test_exit_rules(command, folder: Path, words: tuple, glimpses: set) -> None:
    result = command("predict", folder, *words)
    assert {json.loads(line)["glimpses"] for line in result.out.splitlines()} == glimpses


def test_precisions_and_runners_are_the_engines() -> None:
    assert list(get_args(EnginePrecision)) == list(PRECISIONS)
    assert list(get_args(EngineWeights)) == list(STORAGES)
    assert list(get_args(EngineRunner)) == ["auto", *RUNNERS]


def test_a_named_runner_gives_the_same_line_every_time(command, folder: Path) -> None:
    first = command("predict", folder, "--runner", "channels_last")
    assert first.code == 0
    assert first.err.rstrip().endswith("images/s (channels_last)")
    assert command("predict", folder, "--runner", "channels_last").out == first.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--runner", "tensorrt"), "loads a step written by mgnet-fast export; give its path"),
        (("--runner", "eager", "--artefact", "step.onnx"), "it loads no artefact, got step.onnx"),
        (("--artefact", "step.onnx"), "runner must be 'onnxruntime' or 'tensorrt' for an artefact"),
        (("--runner", "eager", "--weights", "fp16"), "it stores weights in fp32, not in fp16"),
        (("--runner", "eager", "--precision", "int8"), "not in int8 (which openvino"),
    ],
)
def test_runners_that_do_not_fit(command, folder: Path, words: tuple, said: str) -> None:
    result = command("predict", folder, *words)
    assert (result.code, result.out) == (1, "")
    assert said in result.err


def test_int8_is_fitted_to_the_first_images_and_says_how_far_it_is(
    command, folder: Path, wanted: list, tmp_path: Path
) -> None:
    pytest.importorskip("nncf", reason="OpenVINO's quantiser, NNCF, is not installed")
    (tmp_path / "damaged.png").write_text("hello")
    int8 = ("--precision", "int8", "--runner", "openvino")
    result = command("predict", tmp_path, folder, *int8)
    assert result.code == 1  # one was skipped
    said, skipped, *_ = result.err.splitlines()
    assert said.startswith(f"int8 against float32 over {COUNT} images, 0 labels changed (0 %); ")
    assert skipped.startswith(f"skipped: {tmp_path / 'damaged.png'}")
    labels = [json.loads(line)["label"] for line in result.out.splitlines()]
    assert sum(a == b for a, (b, _) in zip(labels, wanted, strict=True)) >= COUNT - 1
    result = command("predict", folder, *int8, "--calibration-images", 7)
    assert result.code == 0
    assert result.err.startswith("int8 against float32 over 7 images, ")


def test_half_precision(command, folder: Path, wanted: list) -> None:
    pattern = str(folder / "0*.png")
    result = command("predict", pattern, "--precision", "bf16", "--calibration-images", 3)
    assert result.code == 0
    assert result.err.startswith("bf16 against float32 over 3 images, 0 labels changed")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert [row["label"] for row in rows] == [label for label, _ in wanted[:10]]


def test_nothing_to_calibrate_on(command, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    out = tmp_path / "out.csv"
    result = command("predict", tmp_path, "--precision", "int8", "--out", out)
    assert (result.code, out.exists()) == (1, False)
    assert "calibration needs at least one readable image file" in result.err


def test_no_files(command, tmp_path: Path) -> None:
    result = command("predict", tmp_path / "*.png")
    assert result.code == 1
    assert result.err == f"error: no image files found in {tmp_path / '*.png'}\n"


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on Unix")
def test_an_interruption_ends_it_and_keeps_what_is_written(folder: Path, tmp_path: Path) -> None:
    """A pipe that nobody writes to is an image file that never ends."""
    os.mkfifo(tmp_path / "endless.png")
    out = tmp_path / "out.jsonl"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mgnet_fast", "predict", "--out", out),
            *(folder, tmp_path / "endless.png", "--runner", "eager"),
        ],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if out.exists() and len(out.read_text().splitlines()) == COUNT:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "error: interrupted"
    assert len(out.read_text().splitlines()) == COUNT


@pytest.fixture(scope="module")
def soft_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights in a network that antialiases."""
    path = tmp_path_factory.mktemp("network") / "soft.safetensors"
    save_checkpoint(create_model("mgnet_toy", pretrained=True, antialias=True), path)
    return path


def test_reads_lazily_where_the_network_antialiases(
    command, folder: Path, soft_network: Path
) -> None:
    words = ("predict", folder, "--checkpoint", soft_network, "--runner", "eager")
    lazy, full = command(*words), command(*words, "--decode", "full")
    assert lazy.code == full.code == 0
    for ours, theirs in zip(lazy.out.splitlines(), full.out.splitlines(), strict=True):
        one, other = json.loads(ours), json.loads(theirs)
        assert (one["label"], one["glimpses"]) == (other["label"], other["glimpses"])


def test_damaged_files_are_told_by_path_when_read_lazily(
    command, folder: Path, soft_network: Path, tmp_path: Path
) -> None:
    whole = (folder / "00.png").read_bytes()
    for name, content in (("a.png", whole), ("b.png", whole[: len(whole) // 2]), ("c.png", whole)):
        (tmp_path / name).write_bytes(content)
    words = ("predict", tmp_path, "--checkpoint", soft_network)
    result = command(*words)
    assert result.code == 1
    assert [Path(json.loads(line)["path"]).name for line in result.out.splitlines()] == [
        "a.png",
        "c.png",
    ]
    assert f"skipped: {tmp_path / 'b.png'}: " in result.err
    assert "2 images" in result.err
    allowed = command(*words, "--allow-truncated")
    assert allowed.code == 0
    assert len(allowed.out.splitlines()) == 3


def test_lazy_needs_glimpses_of_one_size(command, folder: Path, tmp_path: Path) -> None:
    save_checkpoint(create_model("ffnet_toy"), tmp_path / "twin.safetensors")
    words = ("--checkpoint", tmp_path / "twin.safetensors", "--decode", "lazy")
    result = command("predict", folder, *words)
    assert result.code == 1
    assert "--decode must be full for a network without a glimpse_size" in result.err


@pytest.mark.parametrize("words", [(), ("--decode", "lazy")])
def test_photographs_are_turned_unless_told_otherwise(
    command, folder: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    with Image.open(folder / "03.png") as upright:
        turned = upright.transpose(Image.Transpose.ROTATE_90)  # EXIF turns it back
    turned.save(tmp_path / "a.png", exif=exif)
    (tmp_path / "b.png").write_bytes((folder / "03.png").read_bytes())
    turned.save(tmp_path / "c.png")
    rows = command("predict", tmp_path, "--runner", "eager", *words).out.splitlines()
    a, b, c = (json.loads(row) for row in rows)
    assert a["regions"] == b["regions"] != c["regions"]
    rows = command("predict", tmp_path, "--runner", "eager", "--ignore-exif", *words).out
    a, b, c = (json.loads(row) for row in rows.splitlines())
    assert a["regions"] == c["regions"] != b["regions"]
