"""The names of MGNets and of their feed-forward twins, with the defaults of each name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..backbones.by_name import list_backbones
from ..family import Family, feed_forward_twin
from .config import MGNetConfig
from .network import MGNet

_TOY: dict[str, Any] = {
    "num_classes": 10,
    "in_chans": 1,
    "num_glimpses": 3,
    "glimpse_size": 28,
    "gradient_scale": 0.02,
    "mean": (0.1307,),
    "std": (0.3081,),
}
_IMAGENET: dict[str, Any] = {
    "num_classes": 1000,
    "in_chans": 3,
    "num_glimpses": 4,
    "glimpse_size": 96,
    "gradient_scale": 0.01,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}
_FEED_FORWARD: dict[str, Any] = {"num_glimpses": 1, "glimpse_size": None}


def mgnet_defaults(
    backbone: str, overrides: Mapping[str, Any], *, is_feed_forward: bool = False
) -> dict[str, Any]:
    """The fields of :class:`MGNetConfig` that a name sets.

    With ``in_chans`` overridden, mean and std have no default; with ``down_factor`` given,
    ``glimpse_size`` has none.
    """
    defaults = dict(_TOY if backbone == "toy" else _IMAGENET)
    if backbone == "resnet18":
        defaults["gradient_scale"] = 0.02
    if is_feed_forward:
        defaults |= _FEED_FORWARD
    if overrides.get("in_chans", defaults["in_chans"]) != defaults["in_chans"]:
        del defaults["mean"], defaults["std"]
    if overrides.get("down_factor") is not None:
        defaults["glimpse_size"] = None
    return defaults


def _usual_image_size(backbone: str, config: MGNetConfig) -> int:
    return 112 if backbone == "toy" else 224


MGNET = Family(
    prefix="mgnet",
    network=MGNet,
    config=MGNetConfig,
    backbones=list_backbones,
    defaults=mgnet_defaults,
    build=MGNet,
    usual_image_size=_usual_image_size,
    twin=feed_forward_twin,
    takes_foreign=True,
    shipped={"mgnet_toy": (False, True)},
    training_only=("glimpse_fc.",),
)
FFNET = Family(
    prefix="ffnet",
    network=MGNet,
    config=MGNetConfig,
    backbones=list_backbones,
    defaults=partial(mgnet_defaults, is_feed_forward=True),
    build=MGNet,
    usual_image_size=_usual_image_size,
    twin=feed_forward_twin,
    takes_foreign=True,
)
