"""Streams of image files that are decoded as the network looks at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.networks.four_quarters import FourQuarters

from mgnet_fast import open_image
from mgnet_fast.demo import load_scenes
from mgnet_fast.engine import Confidence, Engine, Never
from mgnet_fast.models import MGNet, create_model


@pytest.fixture(scope="module")
def model() -> MGNet:
    return create_model("mgnet_toy", pretrained=True, antialias=True).eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Scenes of digits as files, some larger, in several formats."""
    folder = tmp_path_factory.mktemp("files")
    scenes = load_scenes(12).scenes(torch.arange(12))
    paths = []
    for number, scene in enumerate(scenes):
        path = folder / f"{number}{('.png', '.jpg', '.webp')[number % 3]}"
        side = (112, 448, 300)[number % 3]
        image = Image.fromarray(scene[0].numpy()).resize((side, side), Image.Resampling.BICUBIC)
        image.save(path, quality=95)
        paths.append(path)
    return paths


@pytest.mark.parametrize("slots", [1, 5])
@pytest.mark.parametrize("read_ahead", [0, 3])
def test_files_and_their_pixels_give_the_same(
    model: MGNet, files: list[Path], slots: int, read_ahead: int
) -> None:
    engine = Engine(model, slots=slots, exit=Confidence(0.9), runner="eager")
    whole = engine.predict([open_image(path, 1).pixels() for path in files])
    lazy = list(engine.stream((open_image(path, 1) for path in files), read_ahead=read_ahead))
    assert [each.label for each in lazy] == [each.label for each in whole]
    for ours, theirs in zip(lazy, whole, strict=True):
        if ours.glimpses == theirs.glimpses:
            torch.testing.assert_close(ours.regions, theirs.regions, atol=0.03, rtol=0)


def test_formats_of_one_scale_differ_by_rounding_only(model: MGNet, files: list[Path]) -> None:
    engine = Engine(model, slots=4, exit=Never(), runner="eager")
    exact = [path for path in files if path.suffix != ".jpg"]
    whole = engine.predict([open_image(path, 1).pixels() for path in exact])
    lazy = engine.predict([open_image(path, 1) for path in exact])
    for ours, theirs in zip(lazy, whole, strict=True):
        torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-3, rtol=1e-3)


def test_damaged_files_give_nan_and_the_stream_goes_on(
    model: MGNet, files: list[Path], tmp_path: Path
) -> None:
    images = [open_image(path, 1) for path in files[:4]]
    images.insert(2, open_image(files[1].read_bytes()[:900], 1))
    gone = tmp_path / "gone.png"
    gone.write_bytes(files[0].read_bytes())
    images.append(open_image(gone, 1))
    gone.unlink()
    results = Engine(model, slots=3, exit=Confidence(0.9), runner="eager").predict(images)
    assert [each.finite for each in results] == [True, True, False, True, True, False]
    assert images[2].error
    assert images[5].error == "No such file or directory"
    alone = Engine(model, slots=1, exit=Confidence(0.9), runner="eager").predict(
        [open_image(path, 1) for path in files[:4]]
    )
    for ours, theirs in zip([results[k] for k in (0, 1, 3, 4)], alone, strict=True):
        assert ours.label == theirs.label


def test_files_leave_with_their_memory(model: MGNet, files: list[Path]) -> None:
    images = [open_image(path, 1) for path in files]
    Engine(model, slots=2, exit=Never(), runner="eager").predict(images)
    assert [image.nbytes for image in images] == [0] * len(images)


def test_a_stream_is_of_files_or_of_pixels(model: MGNet, files: list[Path]) -> None:
    engine = Engine(model, slots=2, runner="eager")
    file = open_image(files[0], 1)
    with pytest.raises(TypeError, match="image must be a FileImage"):
        engine.predict([file, file.pixels()])
    with pytest.raises(ValueError, match="image must have the network's 1 channels, got 3"):
        engine.predict([open_image(files[0], 3)])


def test_networks_that_see_the_whole_image(files: list[Path]) -> None:
    twin = create_model("ffnet_toy").eval()
    engine = Engine(twin, slots=2, runner="eager")
    small = [path for path in files if path.suffix == ".png"]
    whole = engine.predict([open_image(path, 1).pixels() for path in small])
    lazy = engine.predict([open_image(path, 1) for path in small])
    for ours, theirs in zip(lazy, whole, strict=True):
        assert torch.equal(ours.logits, theirs.logits)


def test_networks_with_several_looks(files: list[Path]) -> None:
    torch.manual_seed(0)
    network = FourQuarters().eval()
    engine = Engine(network, slots=3, exit=Never(), runner="eager")
    channels = network.config.in_chans
    exact = [path for path in files if path.suffix == ".webp"]
    whole = engine.predict([open_image(path, channels).pixels() for path in exact])
    lazy = engine.predict([open_image(path, channels) for path in exact])
    for ours, theirs in zip(lazy, whole, strict=True):
        torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-3, rtol=1e-3)
        np.testing.assert_array_equal(ours.regions, theirs.regions)
