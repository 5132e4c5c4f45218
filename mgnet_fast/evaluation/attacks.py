"""FGSM and PGD attacks on glimpse networks, through the gradient of every glimpse."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mgnet_fast.evaluation.attack_settings import AttackSettings
from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.network import check_network, evaluation_mode

_ROUNDING = 1e-4  # error of pixels normalised in float32 and converted back


class Attacked(NamedTuple):
    """Images after an attack, and the network's answers to them.

    Attributes:
        images: [B, C, H, W], floating point, normalised as the network expects floats.
        n_logit: [T, B, K], class logits after each step.
    """

    images: Tensor
    n_logit: Tensor


def fgsm(
    model: GlimpseNetwork, images: Tensor, labels: Tensor, settings: AttackSettings | None = None
) -> Attacked:
    r"""The fast gradient sign method: one step of eps that increases the last step's loss.

    .. math:: x' = x + \epsilon \, sign(\nabla_x CE(logits_T(x), y))

    Ignores step, steps, random start and restarts of ``settings`` (default:
    :meth:`AttackSettings.honest`). Arguments and errors are those of :func:`pgd`.

    Source: Goodfellow et al., "Explaining and harnessing adversarial examples", 2015.
    """
    settings = AttackSettings.honest() if settings is None else settings
    _check_settings(settings)
    return pgd(model, images, labels, settings.single_step())


def pgd(
    model: GlimpseNetwork,
    images: Tensor,
    labels: Tensor,
    settings: AttackSettings | None = None,
    *,
    first_index: int = 0,
) -> Attacked:
    r"""Projected gradient descent on the last step's loss, within an L-infinity ball.

    .. math:: x_{k+1} = P(x_k + \alpha \, sign(\nabla_x CE(logits_T(x_k), y)))

    P projects each pixel onto the ball of radius eps around its first value and, with ``clamp``,
    onto [0, 1]. The gradient flows to the image through the pixels of all glimpses and through
    the regions they were taken at. The network runs in evaluation mode; afterwards its modes,
    parameters and their gradients are as before.

    Args:
        model: the network under attack. Do not use it in another thread meanwhile.
        images: [B, C, H, W] on the network's device: uint8, or floating point normalised by the
            config's mean and std (without these: pixels in [0, 1]).
        labels: int64 [B], the true classes.
        settings: default :meth:`AttackSettings.honest`.
        first_index: index of the first image in a larger set. The random start of image i
            depends only on ``settings.seed`` and ``first_index + i``, so several calls attack
            a set as one call would.

    Returns:
        The images after the last step. With several restarts or gradient factors: for each
        image the result that is worst for the network.

    Raises:
        TypeError: an argument has the wrong type or dtype.
        ValueError: shapes or labels do not fit the network; images leave [0, 1] once the
            normalisation is undone; or ``settings`` scale a localization gradient (mode worst)
            that the network does not have.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018.
    """
    settings = AttackSettings.honest() if settings is None else settings
    _check_settings(settings)
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
    model: GlimpseNetwork,
    images: Tensor,
    labels: Tensor,
    settings: AttackSettings,
    *,
    way: int = 0,
    first_index: int = 0,
) -> Generator[tuple[int, Tensor, Tensor], None, None]:
    """The steps of one PGD attack: 0 (its start), 1, ... ``settings.steps``.

    Yields the number of the step, the images after it and their logits [T, B, K], so one attack
    gives the accuracy after every number of steps. The network is in evaluation mode until the
    iterator is exhausted or closed. Arguments and errors are those of :func:`pgd`; ``way``, in
    0..``settings.ways`` - 1, selects restart and gradient factor.
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


def check_images(model: GlimpseNetwork, images: Tensor, labels: Tensor) -> None:
    """Raises TypeError or ValueError if images or labels do not fit ``model``."""
    check_network(model)
    model.check_images(images)
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels must be a Tensor int64 [B], got {type(labels).__name__}")
    if labels.dtype != torch.int64:
        raise TypeError(f"labels must be int64, got {labels.dtype}")
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels must have shape [{len(images)}], got {list(labels.shape)}")
    classes = model.config.num_classes
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f"labels must be in 0..{classes - 1}, got {int(labels.min())}..{int(labels.max())}"
        )


def _check_settings(settings: object) -> None:
    if not isinstance(settings, AttackSettings):
        raise TypeError(f"settings must be AttackSettings, got {type(settings).__name__}")


def worse_for_the_network(before: Tensor, n_logit: Tensor, labels: Tensor) -> Tensor:
    """For which images ``n_logit`` [T, B, K] is worse than ``before``: bool [B].

    Compares the last step: a wrong label is worse than a right one, then a higher loss decides.
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


def _constants(model: GlimpseNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std, [C, 1, 1] each, in the dtype of the attack."""
    dtype = images.dtype if images.is_floating_point() else torch.float32
    channels = model.config.in_chans
    mean = model.config.mean or (0.0,) * channels
    std = model.config.std or (1.0,) * channels
    constants = torch.tensor([mean, std], dtype=dtype, device=images.device)
    return constants[0].view(-1, 1, 1), constants[1].view(-1, 1, 1)


def _start(images: Tensor, settings: AttackSettings, mean: Tensor, std: Tensor) -> Tensor:
    """The images, converted to the space of the attack."""
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
    """U(-1, 1) for each pixel, with a random stream of its own for each image."""
    noise = np.empty(start.shape, np.float32)
    for index in range(len(noise)):
        draws = np.random.default_rng([seed, restart, first_index + index])
        noise[index] = 2 * draws.random(noise[index].shape, dtype=np.float32) - 1
    return torch.from_numpy(noise).to(start)


@contextmanager
def under_attack(model: GlimpseNetwork, gradient_scale: float | None) -> Iterator[None]:
    """Evaluation mode, and ``gradient_scale`` (None: the network's own) at the localization layer.

    Raises:
        ValueError: a network without a localization layer is asked for another factor than 1 or
            None.
    """
    path = model.localization
    if path is None:
        if gradient_scale not in (1.0, None):
            raise ValueError(
                "gradient_scales must be (1.0,) or (None,), as in the honest and the paper mode, "
                f"for {type(model).__name__}, which has no localization layer whose gradient "
                f"could be scaled; got {gradient_scale}"
            )
        with evaluation_mode(model):
            yield
        return
    layer: Any = path.layer
    own = layer.gradient_scale
    if gradient_scale is not None:
        layer.gradient_scale = gradient_scale
    try:
        with evaluation_mode(model):
            yield
    finally:
        layer.gradient_scale = own
