"""Attention maps as segmentations of the object: Otsu's threshold, Jaccard index, saliency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch
from torch import Tensor

from mgnet_fast.data.digits.translated_mnist import TranslatedMNIST
from mgnet_fast.evaluation.accuracy import check_fit
from mgnet_fast.evaluation.attacks import check_images
from mgnet_fast.models import LTPA, GlimpseNetwork
from mgnet_fast.models.network import evaluation_mode


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B, h, w] at the size (H, W) of the image, bilinear: [B, H, W], in their dtype."""
    bigger: Tensor = torch.nn.functional.interpolate(
        maps[:, None], size, mode="bilinear", align_corners=False
    )
    return bigger[:, 0]


def above_otsu(maps: Tensor) -> Tensor:
    r"""Where each map lies above its own Otsu threshold.

    The threshold is the value t of the map that maximises the variance between the groups

    .. math:: w_0 w_1 (\mu_0 - \mu_1)^2

    of its values up to t and above t, with their shares w and means :math:`\mu`. All values are
    tried; there is no histogram.

    Args:
        maps: [B, H, W], floating point.

    Returns:
        bool [B, H, W]. A map whose values are all equal is nowhere above.

    Raises:
        ValueError: a value is not finite.

    Source: Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    if not maps.isfinite().all():
        raise ValueError("maps must be finite to have a threshold, got values that are not")
    values = maps.detach().flatten(1).double().sort(dim=1).values
    count = values.shape[1]
    if count < 2:
        return torch.zeros_like(maps, dtype=torch.bool)
    low_count = torch.arange(1, count, device=maps.device)
    low_sum = values.cumsum(1)
    low_mean = low_sum[:, :-1] / low_count
    high_mean = (low_sum[:, -1:] - low_sum[:, :-1]) / (count - low_count)
    between = low_count * (count - low_count) * (low_mean - high_mean).square()
    between = between.where(values[:, :-1] < values[:, 1:], -1.0)  # equal values stay together
    limits = values.gather(1, between.argmax(1, keepdim=True))
    limits = limits.where(between.amax(1, keepdim=True) >= 0, values[:, -1:])
    return maps.double() > limits[:, :, None]


def attention_segments(weights: Tensor, size: tuple[int, int]) -> Tensor:
    """The image's pixels that attention selects: bool [B, H, W].

    The scores, which are the logarithms of the weights up to a constant, are enlarged to the image
    and cut at Otsu's threshold. A threshold on the weights themselves would only find the peak of
    the softmax.

    Args:
        weights: [B, h, w] of one level, from the ``attention`` of a network's output.
        size: (H, W) of the image.
    """
    smallest = torch.finfo(weights.dtype).tiny  # a weight may be rounded to 0
    return above_otsu(enlarged(weights.clamp(min=smallest).log(), size))


def saliency(model: GlimpseNetwork, images: Tensor, labels: Tensor) -> Tensor:
    r"""How much each pixel moves the logit of the class: [B, H, W], at least 0.

    .. math:: \max_c |\partial logits_T(x)_y / \partial x_c|

    Args:
        model: the network; it runs in evaluation mode and is left as it was.
        images: [B, C, H, W], floating point, or uint8, which is normalised by mean and std of the
            config first.
        labels: int64 [B].

    Raises:
        TypeError, ValueError: images or labels do not fit the network.

    Source: Simonyan et al., "Deep inside convolutional networks", 2014, section 3.
    """
    check_images(model, images, labels)
    pixels = model.as_glimpse(images).detach().requires_grad_()
    with evaluation_mode(model), torch.enable_grad():
        logits = model(pixels)["n_logit"][-1]
        (gradient,) = torch.autograd.grad(logits.gather(1, labels[:, None]).sum(), pixels)
    return gradient.abs().amax(1)


def jaccard(found: Tensor, wanted: Tensor) -> Tensor:
    r"""Intersection over union of bool masks [B, H, W]: float64 [B]; 1 where both are empty.

    Raises:
        ValueError: shapes differ.
    """
    if found.shape != wanted.shape:
        raise ValueError(f"found must have shape {list(wanted.shape)}, got {list(found.shape)}")
    both = (found & wanted).flatten(1).sum(1).double()
    either = (found | wanted).flatten(1).sum(1).double()
    return torch.where(either == 0, 1.0, both / either.clamp(min=1))


@dataclass(frozen=True)
class Overlap:
    """Jaccard indices of a way to segment, over all scenes.

    Attributes:
        name: "level 1", ..., or "saliency".
        indices: of each scene.
    """

    name: str
    indices: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.indices))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Of the mean, by the normal approximation."""
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        half = z * float(np.std(self.indices, ddof=1)) / len(self.indices) ** 0.5
        return self.mean - half, self.mean + half


def evaluate_segments(
    model: GlimpseNetwork,
    scenes: TranslatedMNIST,
    *,
    count: int | None = None,
    batch_size: int = 100,
    progress: Callable[[int], None] | None = None,
) -> list[Overlap]:
    """Jaccard indices between the digit and what attention and saliency select.

    Args:
        model: the network. One without attention has its saliency only.
        scenes: epoch 0 of these, whose masks are known.
        count: only the first scenes.
        batch_size: scenes per batch.
        progress: called with the number of scenes done.

    Returns:
        One entry for each level of attention, the last map last, then one for the saliency of the
        true class, cut at Otsu's threshold, and one for that of its logarithm.

    Raises:
        TypeError, ValueError: model and scenes do not fit each other, or ``count`` is out of range.
    """
    check_fit(model, scenes)
    count = len(scenes) if count is None else count
    if not 2 <= count <= len(scenes):
        raise ValueError(f"count must be in 2..{len(scenes)}, the number of scenes, got {count}")
    device = next(model.parameters()).device
    found: dict[str, list[float]] = {}
    for first in range(0, count, batch_size):
        indices = np.arange(first, min(first + batch_size, count))
        images, wanted = scenes.scenes(indices).to(device), scenes.masks(indices)
        labels = scenes.labels[torch.from_numpy(indices)].to(device)
        for name, chosen in _segments(model, images, labels):
            found.setdefault(name, []).extend(jaccard(chosen.cpu(), wanted).tolist())
        if progress is not None:
            progress(first + len(indices))
    return [Overlap(name, tuple(values)) for name, values in found.items()]


def _segments(model: GlimpseNetwork, images: Tensor, labels: Tensor) -> list[tuple[str, Tensor]]:
    size = (images.shape[-2], images.shape[-1])
    chosen = []
    if isinstance(model, LTPA):
        with evaluation_mode(model), torch.no_grad():
            levels = model(images)["attention"]
        first = len(model.backbone.network.map_dims) - len(levels)  # type: ignore[arg-type]
        for level, weights in enumerate(levels, start=first + 1):
            chosen.append((f"level {level}", attention_segments(weights, size)))
    gradient = saliency(model, images, labels)
    smallest = torch.finfo(gradient.dtype).tiny
    chosen.append(("saliency", above_otsu(gradient)))
    chosen.append(("log saliency", above_otsu(gradient.clamp(min=smallest).log())))
    return chosen
