"""FGSM and PGD on a network of glimpses, through the gradient of every glimpse to the image."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mgnet_fast.evaluation.attack_settings import AttackSettings
from mgnet_fast.models import MGNet

_ROUNDING = 1e-4  # of pixels that were normalised in float32 and are taken back


class Attacked(NamedTuple):
    """Images after an attack, and what the network says of them.

    Attributes:
        images: [B, C, H, W], floating point, normalised as the network takes float images.
        n_logit: [T, B, K], logits after each glimpse.
    """

    images: Tensor
    n_logit: Tensor


def fgsm(
    model: MGNet, images: Tensor, labels: Tensor, settings: AttackSettings | None = None
) -> Attacked:
    r"""The fast gradient sign method: one step of eps up the loss of the last glimpse.

    .. math:: x' = x + \epsilon \, sign(\nabla_x CE(logits_T(x), y))

    Of ``settings`` (default: :meth:`AttackSettings.honest`) step, steps, random start and restarts
    are ignored. Arguments and errors are those of :func:`pgd`.

    Source: Goodfellow et al., "Explaining and harnessing adversarial examples", 2015.
    """
    settings = AttackSettings.honest() if settings is None else settings
    return pgd(model, images, labels, settings.single_step())


def pgd(
    model: MGNet,
    images: Tensor,
    labels: Tensor,
    settings: AttackSettings | None = None,
    *,
    first_index: int = 0,
) -> Attacked:
    r"""Projected gradient descent on the loss of the last glimpse, within an L-infinity ball.

    .. math:: x_{k+1} = P(x_k + \alpha \, sign(\nabla_x CE(logits_T(x_k), y)))

    P moves each pixel to the nearest point within eps of where it was and, with ``clamp``, in
    [0, 1]. The gradient reaches the image through the pixels of all glimpses and through the
    regions at which they were taken; the position that the fusion is told has none, as in
    training. The model is put in evaluation mode meanwhile; its modes, parameters and their
    gradients are left as they were.

    Args:
        model: whose labels to change. Not to be used elsewhere meanwhile.
        images: [B, C, H, W] on its device, uint8, or floating point normalised by the config's
            mean and std (if it has none: pixels in [0, 1]).
        labels: int64 [B], the true classes.
        settings: default :meth:`AttackSettings.honest`.
        first_index: the random start of image i depends on ``settings.seed`` and
            ``first_index + i`` alone, so batches of a larger set get the same as one call.

    Returns:
        The images after the last step, of the way (restart and gradient factor) that is worst
        for the network.

    Raises:
        ValueError: shapes or labels do not fit the model, or images are not in [0, 1] once their
            normalisation is undone.
        TypeError: labels or images of a wrong dtype.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018.
    """
    settings = AttackSettings.honest() if settings is None else settings
    found = []
    for way in range(settings.ways):
        with closing(
            attack_steps(model, images, labels, settings, way=way, first_index=first_index)
        ) as steps:
            for _, images_now, n_logit in steps:
                last = Attacked(images_now, n_logit)
        found.append(last)
    return reduce(lambda worst, other: _worse(worst, other, labels), found)


def attack_steps(
    model: MGNet,
    images: Tensor,
    labels: Tensor,
    settings: AttackSettings,
    *,
    way: int = 0,
    first_index: int = 0,
) -> Generator[tuple[int, Tensor, Tensor], None, None]:
    """The way of one PGD: step 0 (where it starts), 1, ... ``settings.steps``.

    Each item is the number of the step, the images there and their logits [T, B, K]: what the
    network says at every number of steps costs nothing beyond the attack itself. The model is in
    evaluation mode until the last item was taken or the iterator is closed. Arguments and errors
    are those of :func:`pgd`, ``way`` one of ``settings.ways``.
    """
    check_images(model, images, labels)
    mean, std = _constants(model, images)
    start = _start(images, settings, mean, std)
    low, high = start - settings.eps, start + settings.eps
    if settings.clamp:
        black, white = torch.zeros_like(mean), torch.ones_like(mean)
        if settings.space == "normalised":
            black, white = (black - mean) / std, (white - mean) / std
        low, high = torch.maximum(low, black), torch.minimum(high, white)
    now = start
    if settings.random_start:
        noise = _random(start, settings.seed, way // len(settings.gradient_scales), first_index)
        now = (start + settings.eps * noise).clamp(low, high)
    with under_attack(model, settings.gradient_scales[way % len(settings.gradient_scales)]):
        for step in range(settings.steps + 1):
            is_last = step == settings.steps
            now = now.detach().requires_grad_(not is_last)
            with torch.set_grad_enabled(not is_last):
                taken = (now - mean) / std if settings.space == "pixels" else now
                n_logit = model(taken)["n_logit"]
            yield step, taken.detach(), n_logit.detach()
            if not is_last:
                with torch.enable_grad():
                    loss = torch.nn.functional.cross_entropy(n_logit[-1], labels, reduction="sum")
                    (gradient,) = torch.autograd.grad(loss, now)
                now = (now.detach() + settings.step * gradient.sign()).clamp(low, high)


def check_images(model: MGNet, images: Tensor, labels: Tensor) -> None:
    """Raises where images or labels are not ones that ``model`` classifies."""
    config = model.config
    if images.dim() != 4 or images.shape[1] != config.in_chans:
        raise ValueError(
            f"images must have shape [B, {config.in_chans}, H, W], got {list(images.shape)}"
        )
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images must be uint8 or floating point, got {images.dtype}")
    if labels.dtype != torch.int64:
        raise TypeError(f"labels must be int64, got {labels.dtype}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels must have shape [{len(images)}], got {list(labels.shape)}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < config.num_classes:
        raise ValueError(
            f"labels must be in 0..{config.num_classes - 1}, "
            f"got {int(labels.min())}..{int(labels.max())}"
        )


def worse_for_the_network(before: Tensor, n_logit: Tensor, labels: Tensor) -> Tensor:
    """Of which images ``n_logit`` [T, B, K] is worse than ``before``: bool [B].

    A wrong label after the last glimpse is worse than a right one, then a higher loss.
    """
    wrong = [logits[-1].argmax(1) != labels for logits in (before, n_logit)]
    loss = [
        torch.nn.functional.cross_entropy(logits[-1], labels, reduction="none")
        for logits in (before, n_logit)
    ]
    return (wrong[1] & ~wrong[0]) | ((wrong[1] == wrong[0]) & (loss[1] > loss[0]))


def _worse(first: Attacked, second: Attacked, labels: Tensor) -> Attacked:
    chosen = worse_for_the_network(first.n_logit, second.n_logit, labels)
    return Attacked(
        torch.where(chosen[:, None, None, None], second.images, first.images),
        torch.where(chosen[None, :, None], second.n_logit, first.n_logit),
    )


def _constants(model: MGNet, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std as [C, 1, 1] in the precision of the attack."""
    dtype = images.dtype if images.is_floating_point() else torch.float32
    channels = model.config.in_chans
    mean = model.config.mean or (0.0,) * channels
    std = model.config.std or (1.0,) * channels
    constants = torch.tensor([mean, std], dtype=dtype, device=images.device)
    return constants[0].view(-1, 1, 1), constants[1].view(-1, 1, 1)


def _start(images: Tensor, settings: AttackSettings, mean: Tensor, std: Tensor) -> Tensor:
    """The images in the space of the attack."""
    if settings.space == "normalised":
        return images.detach() if images.is_floating_point() else (images / 255.0 - mean) / std
    pixels = images.detach() * std + mean if images.is_floating_point() else images / 255.0
    if pixels.numel() and not (pixels.min() >= -_ROUNDING and pixels.max() <= 1 + _ROUNDING):
        raise ValueError(
            "images must be in [0, 1] once mean and std of the model's config are undone, "
            f"got {float(pixels.min()):.4g}..{float(pixels.max()):.4g}"
        )
    return pixels.clamp(0, 1)


def _random(start: Tensor, seed: int, restart: int, first_index: int) -> Tensor:
    """U(-1, 1) for each pixel, drawn for each image by itself."""
    noise = np.empty(start.shape, np.float32)
    for index in range(len(noise)):
        draws = np.random.default_rng([seed, restart, first_index + index])
        noise[index] = 2 * draws.random(noise[index].shape, dtype=np.float32) - 1
    return torch.from_numpy(noise).to(start)


@contextmanager
def under_attack(model: MGNet, gradient_scale: float | None) -> Iterator[None]:
    """Evaluation mode and another gradient factor, for a while."""
    modes = [(module, module.training) for module in model.modules()]
    own = model.loc_network.gradient_scale
    model.eval()
    if gradient_scale is not None:
        model.loc_network.gradient_scale = gradient_scale
    try:
        yield
    finally:
        model.loc_network.gradient_scale = own
        for module, is_training in modes:
            module.training = is_training
