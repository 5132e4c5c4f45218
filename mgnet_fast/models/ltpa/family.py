"""The names of attending networks, with the defaults of each name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backbones.by_name import list_backbones
from ..family import Family, Twin
from .config import LTPAConfig
from .network import CIFAR_RESNET, LTPA, VGG_NAMES

CIFAR_MEAN = (0.5071, 0.4867, 0.4408)  # of CIFAR-100's training images
CIFAR_STD = (0.2675, 0.2565, 0.2761)
_CIFAR: dict[str, Any] = {
    "num_classes": 100,
    "in_chans": 3,
    "glimpse_size": 32,
    "mean": CIFAR_MEAN,
    "std": CIFAR_STD,
}
_CIFAR_RESNET: dict[str, Any] = {
    **_CIFAR,
    "glimpse_size": None,
    "levels": 2,
    "project": "global",
}
_DIGITS: dict[str, Any] = {
    "num_classes": 10,
    "in_chans": 1,
    "glimpse_size": 32,
    "widths": (8, 8, 16, 32, 64, 64),
    "mean": (0.1307,),
    "std": (0.3081,),
}
_IMAGENET: dict[str, Any] = {
    "num_classes": 1000,
    "in_chans": 3,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}


def ltpa_defaults(backbone: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of :class:`LTPAConfig` that a name sets.

    With ``in_chans`` overridden, mean and std have no default.
    """
    known = {"vgg": _CIFAR, "vgg_small": _DIGITS, CIFAR_RESNET: _CIFAR_RESNET}
    defaults = dict(known.get(backbone, _IMAGENET))
    if overrides.get("in_chans", defaults["in_chans"]) != defaults["in_chans"]:
        del defaults["mean"], defaults["std"]
    return defaults


def _backbones() -> list[str]:
    return [*VGG_NAMES, CIFAR_RESNET, *(name for name in list_backbones() if "resne" in name)]


def _usual_image_size(backbone: str, config: LTPAConfig) -> int:
    return 224 if config.glimpse_size is None else max(config.glimpse_shape(0))


def _twin(backbone: str, overrides: Mapping[str, Any]) -> Twin:
    plain = dict(overrides) | {"levels": 0}
    return Twin(f"ltpa_{backbone}", plain, title="no attention", instead="attention to maps")


LTPA_FAMILY = Family(
    prefix="ltpa",
    network=LTPA,
    config=LTPAConfig,
    backbones=_backbones,
    defaults=ltpa_defaults,
    build=LTPA,
    usual_image_size=_usual_image_size,
    twin=_twin,
)
