"""The images that an exported network is compared on when the user has given none."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ..assets import digit_paths
from ..data import TEST_SEED, TranslatedMNIST, read_digits
from ..data.translated_mnist import MNIST_MEAN, MNIST_STD, SCENE_SIZE
from ..models import MGNet
from .options import ExportOptions

_OPEN_SIZES = ((224, 224), (192, 256))
_COARSE = 14  # cells a side of the random pictures, which are smooth in between


def sample_batches(model: MGNet, options: ExportOptions, count: int) -> Iterator[Tensor]:
    """``count`` images, rounded up to whole batches of the usual size.

    Scenes with the shipped digits where the network could have been trained on them (one channel,
    ten classes, size open or 112), else smooth random pictures, of two sizes if the size is open.
    """
    usual = options.batch.usual
    for start in range(0, count, usual):
        if shows_digits(model, options):
            images = _digits(start, usual)
        else:
            sizes = _sizes(options)
            images = _smooth(
                start, usual, model.config.in_chans, sizes[start // usual % len(sizes)]
            )
        yield _as_input(images, model, options)


def shows_digits(model: MGNet, options: ExportOptions) -> bool:
    """Whether the sample is made of the shipped digits."""
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
    # Each round through the digits puts them in other places.
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


def _as_input(images: Tensor, model: MGNet, options: ExportOptions) -> Tensor:
    if options.input == "uint8":
        return images.permute(0, 2, 3, 1).contiguous()
    config = model.config
    mean = images.new_tensor(config.mean or (MNIST_MEAN,), dtype=torch.float32).view(-1, 1, 1)
    std = images.new_tensor(config.std or (MNIST_STD,), dtype=torch.float32).view(-1, 1, 1)
    return (images.float() / 255 - mean) / std
