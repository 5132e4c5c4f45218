"""``mgnet-fast eval``: the same numbers as the evaluation itself, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mgnet_fast.data import load_translated_mnist
from mgnet_fast.evaluation import evaluate
from mgnet_fast.models import create_model
from mgnet_fast.models.files.checkpoints import load_checkpoint, save_checkpoint


def test_json_on_shipped_digits_and_on_a_folder_with_the_same(
    command, checkpoint: Path, mnist_folder: Path
) -> None:
    shipped = command("eval", checkpoint, "--json")
    folder = command("eval", checkpoint, "--data", mnist_folder, "--json")
    assert (shipped.code, folder.code) == (0, 0)
    found, same = json.loads(shipped.out), json.loads(folder.out)
    assert found["digits"] == "shipped"
    assert found["count"] == 500
    assert found["correct"] == same["correct"]

    expected = evaluate(load_checkpoint(checkpoint), load_translated_mnist(mnist_folder, "test"))
    assert found["correct"] == list(expected.correct)
    assert found["multiply_adds"] == [3471051, 7010746, 10619085]
    assert found["mean_scale"][0] == 1.0


def test_noise_and_glimpses_are_options(command, checkpoint: Path) -> None:
    result = command("eval", checkpoint, "--dataset", "noisy-translated-mnist", "-T", 2, "--json")
    found = json.loads(result.out)
    assert found["noise_std"] == pytest.approx(0.3)
    assert len(found["accuracy"]) == 2
    louder = json.loads(command("eval", checkpoint, "--noise-std", 0.5, "-T", 1, "--json").out)
    assert louder["noise_std"] == 0.5


def test_table_has_a_row_a_glimpse_and_says_what_next(command, checkpoint: Path) -> None:
    result = command("eval", checkpoint, "--threads", 1)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith("toy.safetensors on 500 scenes of translated-mnist")
    rows = [line.split() for line in lines if line.strip()[:1] in "123" and "%" in line]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert all("10.619085 M" in " ".join(row) for row in rows[2:])
    assert lines[-1].startswith("next: mgnet-fast eval --data DIR")


def test_damaged_data_is_named(command, checkpoint: Path, damaged_folder: Path) -> None:
    result = command("eval", checkpoint, "--data", damaged_folder)
    assert result.code == 1
    assert "t10k-images-idx3-ubyte.gz" in result.err
    assert "the file is cut" in result.err


def test_damaged_checkpoint_is_named(command, checkpoint: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:1000])
    result = command("eval", cut)
    assert result.code == 1
    assert "cut.safetensors" in result.err
    assert len(result.err.splitlines()) == 1


def test_network_of_other_images_is_refused(command, tmp_path: Path) -> None:
    path = tmp_path / "colour.safetensors"
    save_checkpoint(create_model("mgnet_toy", in_chans=3), path)
    result = command("eval", path)
    assert result.code == 1
    assert "in_chans = 1" in result.err
    assert "got 3" in result.err
