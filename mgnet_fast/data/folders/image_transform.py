"""Transforms of an image of any size to the size that a network is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from mgnet_fast.data.folders.auto_augment import AutoAugment
from mgnet_fast.data.streams import Purpose, bit_stream, to_uniform, words

_LOG_RATIO = math.log(4 / 3)
_TRIES = 10
# Words of 64 random bits per image: two per try, two for the place, one for the flip, one to
# seed AutoAugment.
_WORDS = 2 * _TRIES + 4


@dataclass(frozen=True)
class ImageTransform:
    """The published transforms of ImageNet training and validation.

    Training: crop `min_area` to 1 of the area at an aspect ratio of 3/4 to 4/3, resize to an
    `image_size` square, flip half of the images, apply AutoAugment. Validation: resize the shorter
    side to `resize`, crop the central `image_size` square. Both are bilinear with antialiasing, by
    Pillow.

    Attributes:
        image_size: side of the square result in pixels.
        resize: shorter side before the central crop, at least `image_size`.
        auto_augment: "torchvision", "kornia" or "none".
        min_area: smallest share of an image's area that a training crop keeps.

    Raises:
        ValueError: a size or share is out of range.
    """

    image_size: int = 224
    resize: int = 256
    auto_augment: str = "none"
    min_area: float = 0.08
    _augment: AutoAugment = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {self.image_size}")
        if self.resize < self.image_size:
            raise ValueError(
                f"resize must be at least image_size = {self.image_size}, got {self.resize}"
            )
        if not 0 < self.min_area <= 1:
            raise ValueError(f"smallest_crop must be in (0, 1], got {self.min_area}")
        object.__setattr__(self, "_augment", AutoAugment(self.auto_augment))

    def train(self, image: Image.Image, seed: int, epoch: int, index: int) -> Image.Image:
        """The image (RGB) as image `index` of this epoch of training."""
        raw = words(bit_stream(seed, Purpose.IMAGE, epoch, index), _WORDS)
        draws = to_uniform(raw)
        size = (self.image_size, self.image_size)
        box = random_box(image.size, draws[: 2 * _TRIES + 2], self.min_area)
        cut = image.resize(size, Image.Resampling.BILINEAR, box=box)
        if draws[-2] < 0.5:
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return self._augment(cut, int(raw[-1] >> np.uint64(1)))

    def validate(self, image: Image.Image) -> Image.Image:
        """The image transformed for validation."""
        width, height = image.size
        short = min(width, height)
        sides = (self.resize * width // short, self.resize * height // short)
        left, top = (round((side - self.image_size) / 2) for side in sides)
        scaled = image.resize(sides, Image.Resampling.BILINEAR) if sides != image.size else image
        return scaled.crop((left, top, left + self.image_size, top + self.image_size))


def random_box(
    size: tuple[int, int], draws: npt.NDArray[np.float64], min_area: float = 0.08
) -> tuple[int, int, int, int]:
    """A random crop: area uniform in `min_area` to 1 of the image's, log of the aspect ratio
    uniform between those of 3/4 and 4/3, place uniform inside the image.

    Ten pairs are tried. If none fits: the largest central crop with an allowed aspect ratio.

    Args:
        size: (width, height) of the image.
        draws: 22 numbers in [0, 1): ten pairs (area, ratio), then the place.
        min_area: see `ImageTransform`.

    Returns:
        (left, top, right, bottom) in whole pixels, not empty.
    """
    width, height = size
    for area, ratio in draws[: 2 * _TRIES].reshape(-1, 2):
        pixels = width * height * (min_area + (1 - min_area) * area)
        aspect = math.exp((2 * ratio - 1) * _LOG_RATIO)
        w, h = round(math.sqrt(pixels * aspect)), round(math.sqrt(pixels / aspect))
        if 0 < w <= width and 0 < h <= height:
            left = int(draws[-2] * (width - w + 1))
            top = int(draws[-1] * (height - h + 1))
            return left, top, left + w, top + h
    w = min(width, max(round(height * 4 / 3), 1))
    h = min(height, max(round(width * 4 / 3), 1))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
