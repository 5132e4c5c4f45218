"""What a network saw of one image and answered, small enough to hold many in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mgnet_fast.functional import glimpse
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.network import check_network
from mgnet_fast.models.regions import is_at_the_border, region_scale

THUMBNAIL = 224


class NamedImage(NamedTuple):
    """An image to look at.

    Attributes:
        name: shown to the reader.
        pixels: [C, H, W], uint8, or floating point normalised as the network expects it.
        label: its class; None if unknown.
        size: height and width of the file, where the pixels are a smaller scale of it.
    """

    name: str
    pixels: Tensor
    label: int | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Look:
    """What a network saw of an image in L looks, and its answers after each of T steps.

    Attributes:
        name, label: of the image; the label is None if unknown.
        height, width: of the image in pixels.
        thumbnail: uint8 [C, h, w], the image with a longer side of at most 224 pixels.
        glimpses: uint8 [L, C, h, w].
        regions: float32 [L, 3 or 4], (s, x, y) or (s_x, s_y, x, y) of each look.
        predictions: the most likely class after each step.
        confidences: its probability.
        looks: number of looks of each step; empty: one each, L = T.
        attention: float32 [h, w] each: the weights of the positions of each map that the network
            attends to, the last map last.
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
    looks: tuple[int, ...] = ()
    attention: tuple[Tensor, ...] = ()

    @property
    def step_of_look(self) -> tuple[int, ...]:
        """The step, counted from 0, of each look."""
        looks = self.looks or (1,) * len(self.predictions)
        return tuple(step for step, count in enumerate(looks) for _ in range(count))

    @property
    def scale_of_step(self) -> tuple[float, ...]:
        """Mean scale of the regions of each step, see :func:`region_scale`."""
        return self._step_means(region_scale(self.regions))

    @property
    def border_share_of_step(self) -> tuple[float, ...]:
        """Share of the regions of each step that reach an edge of the image."""
        return self._step_means(is_at_the_border(self.regions).float())

    def _step_means(self, values: Tensor) -> tuple[float, ...]:
        looks = self.looks or (1,) * len(self.predictions)
        return tuple(float(part.mean()) for part in values.split(looks))

    @property
    def right(self) -> tuple[bool, ...] | None:
        """Whether each answer is right; None if the label is unknown."""
        if self.label is None:
            return None
        return tuple(predicted == self.label for predicted in self.predictions)

    @property
    def at_the_border(self) -> tuple[bool, ...]:
        """Whether each region reaches an edge of the image."""
        return tuple(is_at_the_border(self.regions).tolist())

    def leaves_after(self, confidence: float) -> int:
        """The number of steps until this confidence is reached; all of them if it never is."""
        reached = [step for step, sure in enumerate(self.confidences, 1) if sure >= confidence]
        return reached[0] if reached else len(self.confidences)


@torch.inference_mode()
def look_at(model: GlimpseNetwork, images: Iterable[NamedImage]) -> Iterator[Look]:
    """Runs all steps on every image, one image at a time.

    Args:
        model: the network, on the device to run on; it is put in evaluation mode.
        images: of any sizes.

    Raises:
        TypeError: ``model`` is not a glimpse network, or an image's pixels are not a tensor.
        ValueError: an image does not fit the network.
    """
    check_network(model)
    model.eval()
    device = next(model.parameters()).device
    for name, pixels, label, file_size in map(_named, images):
        if not isinstance(pixels, Tensor):
            raise TypeError(
                f"pixels of image {name!r} must be a Tensor [C, H, W], got {type(pixels).__name__}"
            )
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
            *(file_size or (height, width)),
            _thumbnail(shown[0]),
            _as_bytes(glimpse(shown, regions, size, image_index=index, antialias=model.antialias)),
            regions.float().cpu(),
            tuple(predictions.tolist()),
            tuple(confidences.tolist()),
            model.looks,
            tuple(weights[0].float().cpu() for weights in output.get("attention", ())),
        )


def _named(image: NamedImage | tuple[Any, ...]) -> NamedImage:
    return image if isinstance(image, NamedImage) else NamedImage(*image)


def _as_pixels(model: GlimpseNetwork, image: Tensor) -> Tensor:
    """The image to show: bytes unchanged, floats with the normalisation undone, in [0, 1]."""
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
