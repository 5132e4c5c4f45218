"""Common corruptions: the same at every run, of the shape they came in, refused in words."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from mgnet_fast.data import corruptions
from mgnet_fast.data.corruptions import CORRUPTIONS, KINDS, CorruptedImages, corrupted
from mgnet_fast.data.first_images import FirstImages
from mgnet_fast.demo import load_scenes

HAS_LIBRARY = pytest.mark.skipif(
    not __import__("importlib").util.find_spec("imagecorruptions"),
    reason="imagecorruptions-imaug is not installed",
)


def image(channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (channels, 48, 40), dtype=torch.uint8, generator=generator)


def test_there_are_fifteen() -> None:
    assert len(CORRUPTIONS) == 15
    assert [len(names) for names in KINDS.values()] == [3, 4, 4, 4]


@HAS_LIBRARY
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_arguments_give_the_same_image(name: str) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = corrupted(image(), name, 3, seed=1)
    assert first.shape == image().shape
    assert first.dtype == torch.uint8
    assert not torch.equal(first, image())
    assert torch.equal(first, corrupted(image(), name, 3, seed=1))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@HAS_LIBRARY
def test_seeds_and_severities_differ() -> None:
    found = [corrupted(image(), "impulse_noise", s, seed) for s, seed in ((1, 0), (1, 1), (2, 0))]
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@HAS_LIBRARY
def test_grey_stays_grey() -> None:
    assert corrupted(image(1), "snow", 1).shape == (1, 48, 40)


@HAS_LIBRARY
def test_a_set_does_not_depend_on_its_batches() -> None:
    scenes = FirstImages(load_scenes(6), 5)
    noisy = CorruptedImages(scenes, "gaussian_noise", 2)
    whole = torch.cat([pixels for pixels, _ in noisy.batches(5)])
    parts = torch.cat([pixels for pixels, _ in noisy.batches(2)])
    assert torch.equal(whole, parts)
    assert torch.equal(torch.cat([labels for _, labels in noisy.batches(2)]), scenes.labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((image(), "rain", 1), "corruption must be one of gaussian_noise.*got 'rain'"),
        ((image(), "fog", 0), "severity must be 1, 2, 3, 4 or 5, got 0"),
        ((image(), "fog", -1), "got -1"),
        ((image().float(), "fog", 1), r"image must be uint8 \[1 or 3, H, W\], got torch.float32"),
        ((image()[:2], "fog", 1), r"got torch.uint8 \[2, 48, 40\]"),
        ((image()[:, :31], "fog", 1), r"at least 32 pixels a side, got \[31, 40\]"),
    ],
)
def test_wrong_arguments(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrupted(*arguments)


def test_without_the_library_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    corruptions.library.cache_clear()
    try:
        with pytest.raises(ImportError, match=r"pip install 'mgnet-fast\[corruptions\]'"):
            CorruptedImages(load_scenes(2), "fog", 1)
    finally:
        corruptions.library.cache_clear()


@pytest.mark.parametrize("count", [0, 3])
def test_more_images_than_there_are(count: int) -> None:
    with pytest.raises(ValueError, match=r"count must be in 1\.\.2"):
        FirstImages(load_scenes(2), count)
