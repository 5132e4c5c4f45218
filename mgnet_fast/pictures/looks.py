"""What a network saw and said of one image, kept small enough to keep many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mgnet_fast.functional import glimpse
from mgnet_fast.models import MGNet
from mgnet_fast.models.borders import is_at_the_border

THUMBNAIL = 224


class NamedImage(NamedTuple):
    """An image to look at.

    Attributes:
        name: what a reader knows it by.
        pixels: [C, H, W], uint8, or float as the network takes it.
        label: its class, None where that is not known.
    """

    name: str
    pixels: Tensor
    label: int | None = None


@dataclass(frozen=True)
class Look:
    """A network's T glimpses of an image.

    Attributes:
        name, label: of the image; the label is None where it is not known.
        height, width: of the image in pixels.
        thumbnail: uint8 [C, h, w], the image with a longer side of at most 224.
        glimpses: uint8 [T, C, h, w], what was seen.
        regions: float32 [T, 3], where: (s, x, y).
        predictions: the likeliest class after each glimpse.
        confidences: its probability.
    """

    name: str
    label: int | None
    height: int
    width: int
    thumbnail: Tensor
    glimpses: Tensor
    regions: Tensor
    predictions: tuple[int, ...]
    confidences: tuple[float, ...]

    @property
    def right(self) -> tuple[bool, ...] | None:
        """Whether each answer was right; None where the label is not known."""
        if self.label is None:
            return None
        return tuple(predicted == self.label for predicted in self.predictions)

    @property
    def at_the_border(self) -> tuple[bool, ...]:
        """Whether each region ends at an edge of the image."""
        return tuple(is_at_the_border(self.regions).tolist())

    def leaves_after(self, confidence: float) -> int:
        """The glimpses it takes until this confidence, all of them where it is not reached."""
        reached = [step for step, sure in enumerate(self.confidences, 1) if sure >= confidence]
        return reached[0] if reached else len(self.confidences)


@torch.inference_mode()
def look_at(model: MGNet, images: Iterable[NamedImage]) -> Iterator[Look]:
    """Runs all glimpses of every image, one image at a time.

    Args:
        model: on the device to run on; it is put in evaluation mode.
        images: of any sizes that the network takes.

    Raises:
        ValueError: an image does not fit the network.
    """
    model.eval()
    device = next(model.parameters()).device
    for name, pixels, label in images:
        image = pixels.to(device).unsqueeze(0)
        output = model(image)
        regions = output["n_affparam"][:, 0]
        confidences, predictions = output["n_logit"][:, 0].softmax(-1).max(-1)
        shown = _as_pixels(model, image)
        height, width = image.shape[2:]
        size = model.config.glimpse_shape((height, width))
        index = torch.zeros(len(regions), dtype=torch.int64, device=device)
        yield Look(
            name,
            label,
            height,
            width,
            _thumbnail(shown[0]),
            _as_bytes(glimpse(shown, regions, size, image_index=index)),
            regions.float().cpu(),
            tuple(predictions.tolist()),
            tuple(confidences.tolist()),
        )


def _as_pixels(model: MGNet, image: Tensor) -> Tensor:
    """Bytes as they are; floats as they were before the network's normalisation, in [0, 1]."""
    if image.dtype == torch.uint8:
        return image
    config = model.config
    mean = torch.tensor(config.mean or (0.0,), device=image.device).view(1, -1, 1, 1)
    std = torch.tensor(config.std or (1.0,), device=image.device).view(1, -1, 1, 1)
    return (image.float() * std + mean).clamp(0, 1)


def _as_bytes(pixels: Tensor) -> Tensor:
    return (pixels.float() * 255).round().clamp(0, 255).to(torch.uint8).cpu()


def _thumbnail(image: Tensor) -> Tensor:
    pixels = image.cpu() if image.dtype == torch.uint8 else _as_bytes(image)
    longest = max(pixels.shape[1:])
    if longest <= THUMBNAIL:
        return pixels
    height, width = (max(1, round(side * THUMBNAIL / longest)) for side in pixels.shape[1:])
    small = torch.nn.functional.interpolate(
        pixels.unsqueeze(0), (height, width), mode="bilinear", antialias=True
    )
    return small[0]
