"""Settings, apart from the recipe, for training on folders of images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgnet_fast.data.folders.auto_augment import choose_auto_augment
from mgnet_fast.data.folders.image_transform import ImageTransform
from mgnet_fast.data.folders.image_tree import is_tiny_imagenet


@dataclass(frozen=True)
class ImagePreset:
    """Sizes of images and glimpses.

    Attributes:
        image_size: side of the network's images in pixels.
        border: shorter side of a validation image before its central crop, divided by `image_size`.
        down_factor: M of the paper, the side of an image divided by that of a glimpse.
        num_glimpses: T.
        stem_pool: whether a ResNet keeps the max-pool of its stem.
        smallest_crop: smallest share of an image's area that a training crop keeps.
    """

    image_size: int
    border: float
    down_factor: float
    num_glimpses: int
    stem_pool: bool = True
    smallest_crop: float = 0.08

    def model_options(
        self, model: str, image_size: int, glimpse_size: int | None, num_glimpses: int | None
    ) -> dict[str, Any]:
        """Fields of the network's config; feed-forward twins look once at the whole image."""
        options: dict[str, Any] = {} if self.stem_pool else {"stem_pool": False}
        if not model.startswith("ffnet_"):
            options["glimpse_size"] = round(image_size / self.down_factor)
            options["num_glimpses"] = self.num_glimpses
        wanted = {"glimpse_size": glimpse_size, "num_glimpses": num_glimpses}
        return options | {name: value for name, value in wanted.items() if value is not None}

    def transform(
        self, image_size: int, auto_augment: str, smallest_crop: float | None = None
    ) -> ImageTransform:
        """The transforms at a size; "auto" becomes the chosen library, None the preset's crops.

        Raises:
            ValueError, ImportError: see `choose_auto_augment` and `ImageTransform`.
        """
        library = choose_auto_augment(auto_augment)
        crop = self.smallest_crop if smallest_crop is None else smallest_crop
        return ImageTransform(image_size, round(image_size * self.border), library, crop)


PRESETS: dict[str, ImagePreset] = {
    "imagenet100": ImagePreset(224, border=8 / 7, down_factor=7 / 3, num_glimpses=4),
    # Small sets: crops that keep most of a photograph lose its object less often.
    "fine-tune": ImagePreset(
        224, border=8 / 7, down_factor=7 / 3, num_glimpses=4, smallest_crop=0.35
    ),
    # Marked with a dagger in the paper: without the stem's max-pool.
    "tiny-imagenet": ImagePreset(64, 1.0, down_factor=2.0, num_glimpses=3, stem_pool=False),
}


def default_preset(data_dir: Path) -> str:
    """The recipe that fits a folder's layout."""
    return "tiny-imagenet" if is_tiny_imagenet(data_dir) else "imagenet100"
