"""Backbones by name, and their numbers of features."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial

from torch import nn

from .bagnet import BagNet77
from .efficientnet import EfficientNet
from .resnet import resnet18, resnet34, resnet50, resnext50_32x4d, wide_resnet50_2
from .toy_cnn import ToyCNN


def _efficientnet(variant: str, in_chans: int, stem_pool: bool) -> nn.Module:
    return EfficientNet(variant, in_chans)


_BACKBONES: dict[str, Callable[[int, bool], nn.Module]] = {
    "toy": lambda in_chans, stem_pool: ToyCNN(in_chans),
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnext50_32x4d": resnext50_32x4d,
    "wide_resnet50_2": wide_resnet50_2,
    "bagnet77": lambda in_chans, stem_pool: BagNet77(in_chans),
    **{
        f"efficientnet_{variant}": partial(_efficientnet, variant)
        for variant in ("b0", "b1", "b2", "b3", "b4", "b5")
    },
}


def list_backbones() -> list[str]:
    """The names of this package's own backbones."""
    return list(_BACKBONES)


def create_backbone(
    name: str,
    in_chans: int = 3,
    stem_pool: bool = True,
    glimpse_size: tuple[int, int] | None = None,
) -> nn.Module:
    """A backbone by name, with random weights, mapping [B, in_chans, h, w] to [B, num_features].

    Args:
        name: one of :func:`list_backbones`, or ``"timm:<name>"`` or ``"torchvision:<name>"`` for
            a network of those libraries, if they are installed.
        in_chans: number of input channels.
        stem_pool: whether a ResNet of this package has the max-pool in its stem.
        glimpse_size: (h, w), for networks of timm that are made for one size; None: timm's.

    Raises:
        ValueError: the name is unknown; the message proposes close ones.
        ImportError: the name asks for a library that is not installed.
    """
    library, _, library_name = name.rpartition(":")
    if library == "timm":
        from .foreign import timm_backbone

        return timm_backbone(library_name, in_chans, glimpse_size)
    if library == "torchvision":
        from .foreign import torchvision_backbone

        return torchvision_backbone(library_name, in_chans)
    if name not in _BACKBONES:
        close = difflib.get_close_matches(name, _BACKBONES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"backbone {name!r} is unknown: {hint}known are {', '.join(_BACKBONES)}, "
            "'timm:<name>' and 'torchvision:<name>'"
        )
    return _BACKBONES[name](in_chans, stem_pool)


def backbone_dim(backbone: nn.Module, dim: int | None = None) -> int:
    """The number of features of ``backbone``: ``dim``, or else its own ``num_features`` or ``dim``.

    Raises:
        ValueError: ``dim`` is not given and the backbone has no int attribute ``num_features``
            or ``dim``.
    """
    if dim is not None:
        return dim
    for attribute in ("num_features", "dim"):
        found = getattr(backbone, attribute, None)
        if isinstance(found, int):
            return found
    raise ValueError(
        "dim must be given for a backbone without an int attribute num_features or dim, "
        f"got {type(backbone).__name__}"
    )
