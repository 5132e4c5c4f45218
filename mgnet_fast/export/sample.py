"""The default images on which an exported network is compared."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..assets import digit_paths
from ..data import TEST_SEED, TranslatedMNIST, read_digits
from ..data.digits.translated_mnist import MNIST_MEAN, MNIST_STD, SCENE_SIZE
from ..data.image_files import find_images
from ..data.reading.options import ReadOptions
from ..data.reading.whole import read_image
from ..models import GlimpseNetwork
from .options import ExportOptions

_OPEN_SIZES = ((224, 224), (192, 256))
_CALIBRATION_IMAGES = 64
_CALIBRATION_FIRST = 1_000_000
_COARSE = 14  # cells per side of the random pictures, interpolated in between


def sample_batches(
    model: GlimpseNetwork,
    options: ExportOptions,
    count: int,
    *,
    folder: str | os.PathLike[str] | None = None,
    first: int = 0,
) -> Iterator[Tensor]:
    """``count`` images in the form the program takes, in batches of the usual size.

    Args:
        model: gives the number of channels and the normalisation.
        options: give sizes and batches.
        count: number of images; rounded up to whole batches if only one batch size is allowed.
        folder: photographs, of which crops are used. Without it: scenes with the shipped digits if
            the network fits them (one channel, ten classes, size open or 112), else smooth random
            pictures; in two sizes if the size is open.
        first: number of the first image, in an endless sequence.

    Raises:
        ValueError: ``folder`` contains no image.
    """
    photos = None if folder is None else _photos(folder, model.config.in_chans)
    usual, sizes = options.batch.usual, _sizes(options)
    for start in range(first, first + count, usual):
        wanted = usual if options.batch.low == usual else min(usual, first + count - start)
        wanted = max(wanted, options.batch.low)
        size = sizes[start // usual % len(sizes)]
        if photos is not None:
            images = _crops(photos, start, wanted, size)
        elif shows_digits(model, options):
            images = _digits(start, wanted)
        else:
            images = _smooth(start, wanted, model.config.in_chans, size)
        yield _as_input(images, model, options)


def calibration_batches(
    model: GlimpseNetwork, options: ExportOptions, *, folder: str | os.PathLike[str] | None = None
) -> Iterator[Tensor]:
    """Images of the same kind that differ from all in samples of less than a million."""
    return sample_batches(
        model, options, _CALIBRATION_IMAGES, folder=folder, first=_CALIBRATION_FIRST
    )


def shows_digits(model: GlimpseNetwork, options: ExportOptions) -> bool:
    """Whether the sample consists of the shipped digits."""
    fits = (model.config.in_chans, model.config.num_classes) == (1, TranslatedMNIST.num_classes)
    return fits and _allows(options, (SCENE_SIZE, SCENE_SIZE))


def _sizes(options: ExportOptions) -> tuple[tuple[int, int], ...]:
    if options.image_size:
        return (options.image_size,)
    allowed = tuple(size for size in _OPEN_SIZES if _allows(options, size))
    return allowed or (options.open_sizes.usual,)


def _allows(options: ExportOptions, size: tuple[int, int]) -> bool:
    if options.image_size is not None:
        return options.image_size == size
    sizes = options.open_sizes
    return all(
        low <= side <= high for low, side, high in zip(sizes.low, size, sizes.high, strict=True)
    )


def _digits(start: int, count: int) -> Tensor:
    scenes = TranslatedMNIST(read_digits(*digit_paths()), seed=TEST_SEED)
    numbers = torch.arange(start, start + count)
    # Each round through the digits places them elsewhere.
    rounds = numbers // len(scenes)
    parts = [
        scenes.scenes(numbers[rounds == each] % len(scenes), int(each)) for each in rounds.unique()
    ]
    return torch.cat(parts)


def _smooth(seed: int, count: int, channels: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, _COARSE, _COARSE, generator=generator)
    images = F.interpolate(coarse, size, mode="bicubic", align_corners=True)
    return images.clamp(0, 1).mul(255).round().to(torch.uint8)


def _photos(folder: str | os.PathLike[str], channels: int) -> list[Tensor]:
    """uint8 [C, H, W] each."""
    found, _ = find_images([Path(folder)])
    if not found:
        raise ValueError(f"folder {os.fspath(folder)} must hold at least one image, got none")
    pixels = (read_image(path, ReadOptions(channels)) for path in found)
    return [torch.from_numpy(each.copy()).permute(2, 0, 1) for each in pixels]


def _crops(photos: list[Tensor], start: int, count: int, size: tuple[int, int]) -> Tensor:
    """One crop of each photograph in turn; small ones are enlarged first."""
    crops = []
    for number in range(start, start + count):
        photo = photos[number % len(photos)]
        if any(have < wanted for have, wanted in zip(photo.shape[1:], size, strict=True)):
            factor = max(wanted / have for have, wanted in zip(photo.shape[1:], size, strict=True))
            larger = [math.ceil(side * factor) for side in photo.shape[1:]]
            enlarged = F.interpolate(photo[None].float(), larger, mode="bilinear")
            photo = enlarged[0].round().to(torch.uint8)
        generator = torch.Generator().manual_seed(number)
        top, left = (
            int(torch.randint(have - wanted + 1, (), generator=generator))
            for have, wanted in zip(photo.shape[1:], size, strict=True)
        )
        crops.append(photo[:, top : top + size[0], left : left + size[1]])
    return torch.stack(crops)


def _as_input(images: Tensor, model: GlimpseNetwork, options: ExportOptions) -> Tensor:
    if options.input == "uint8":
        return images.permute(0, 2, 3, 1).contiguous()
    config = model.config
    mean = images.new_tensor(config.mean or (MNIST_MEAN,), dtype=torch.float32).view(-1, 1, 1)
    std = images.new_tensor(config.std or (MNIST_STD,), dtype=torch.float32).view(-1, 1, 1)
    return (images.float() / 255 - mean) / std
