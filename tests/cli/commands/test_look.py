"""``mgnet-fast look``: a page and a picture, of scenes or of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mgnet_fast.assets import antialiased_toy_checkpoint_path
from mgnet_fast.demo import load_scenes
from mgnet_fast.models import create_model, save_checkpoint


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A scene in a folder with the name of its class, one in another, and a damaged file."""
    scenes = load_scenes(2)
    for index, folder in enumerate((str(int(scenes.labels[0])), "somewhere")):
        (tmp_path / folder).mkdir()
        pixels = scenes.scenes(np.array([index]))[0, 0].numpy()
        Image.fromarray(pixels).save(tmp_path / folder / "scene.png")
    return tmp_path


def test_scenes(command, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "out", "--threads", 1)
    result = command("look", "--images", 4, "--noise-std", 0.5, *out)
    assert result.code == 0, result.err
    assert "the first 4 of 500" in result.out
    assert (tmp_path / "out" / "glimpses.png").stat().st_size > 10_000
    text = (tmp_path / "out" / "looks.html").read_text(encoding="utf-8")
    assert "4 scenes of translated-mnist, noise 0.5" in text
    assert " of 4, " in text


def test_a_network_that_attends_is_drawn_as_heat_maps(command, tmp_path: Path) -> None:
    path = tmp_path / "attends.safetensors"
    save_checkpoint(create_model("ltpa_vgg_small", widths=(2, 2, 3, 3, 4, 4)), path)
    out = tmp_path / "out"
    options = ("--dataset", "cluttered-mnist-32", "--images", 2, "--threads", 1)
    result = command("look", "-c", path, "-o", out, *options)
    assert result.code == 0, result.err
    assert sorted(each.name for each in out.iterdir()) == ["attention.png", "looks.html"]
    picture = Image.open(out / "attention.png").convert("RGB")
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 300  # colours of heat
    text = (out / "looks.html").read_text(encoding="utf-8")
    assert text.count("attention to map 3 of 3") == 2


def test_files_are_right_or_wrong_by_their_folder(command, files: Path) -> None:
    result = command("look", files, "-o", files / "out", "--threads", 1)
    assert result.code == 0, result.err
    text = (files / "out" / "looks.html").read_text(encoding="utf-8")
    assert "1 of 1, 100.0 %" in text
    assert "1 without a known class" in text


def test_damaged_and_missing_files_are_said(command, files: Path) -> None:
    (files / "bad.png").write_bytes(b"no image")
    result = command("look", files, files / "none*.png", "-o", files / "out")
    assert result.code == 1
    assert "bad.png" in result.err
    assert "there is no such file" in result.err
    assert (files / "out" / "looks.html").is_file()


def test_nothing_to_look_at(command, tmp_path: Path) -> None:
    result = command("look", tmp_path / "none.png", "-o", tmp_path / "out")
    assert result.code == 1
    assert "no image files found" in result.err
    assert not (tmp_path / "out").exists()


def test_hidden_files_are_no_images(command, files: Path) -> None:
    (files / "somewhere" / "._scene.png").write_bytes(b"what macOS leaves beside a file")
    (files / ".thumbnails").mkdir()
    (files / ".thumbnails" / "scene.png").write_bytes(b"no image")
    result = command("look", files, files / "some*" / "*.png", "-o", files / "out")
    assert result.code == 0, result.err
    assert "skipped" not in result.err


def test_the_picture_names_files(command, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mgnet_fast import pictures

    drawn: dict[str, object] = {}

    def draw(*_: object, **options: object) -> Path:
        drawn.update(options)
        return files / "out" / "glimpses.png"

    monkeypatch.setattr(pictures, "draw_glimpses", draw)
    result = command("look", files / "somewhere", "-o", files / "out", "--threads", 1)
    assert result.code == 0, result.err
    assert drawn["image_names"] == ["somewhere/scene.png"]
    assert drawn["title"] == "mgnet_toy.safetensors: 1 image file"


def test_networks_that_antialias_look_at_a_smaller_scale(command, tmp_path: Path) -> None:
    scene = load_scenes(1).scenes(np.arange(1))[0, 0].numpy()
    Image.fromarray(scene).resize((896, 896)).save(tmp_path / "a.jpg", quality=95)
    network = antialiased_toy_checkpoint_path()
    for words in ((), ("--decode", "full")):
        out = tmp_path / "-".join(("out", *words[1:]))
        result = command("look", tmp_path / "a.jpg", "--checkpoint", network, "--out", out, *words)
        assert result.code == 0
        assert "896 x 896" in (out / "looks.html").read_text(encoding="utf-8")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:4000])
    result = command("look", tmp_path / "a.jpg", "--checkpoint", network)
    assert result.code == 1
    assert f"skipped: {tmp_path / 'a.jpg'}: " in result.err
