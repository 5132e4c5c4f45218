"""Networks by name, each with the defaults that its name stands for."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import Any

from safetensors.torch import load_file

from ..assets import asset_path
from .backbones.by_name import list_backbones
from .files.weights import load_weights
from .mgnet.config import MGNetConfig
from .mgnet.network import MGNet

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
_SHIPPED = ("mgnet_toy",)
_FEED_FORWARD: dict[str, Any] = {"num_glimpses": 1, "glimpse_size": None}


def list_models() -> list[str]:
    """The names that :func:`create_model` knows."""
    return [f"{kind}_{name}" for kind in ("mgnet", "ffnet") for name in list_backbones()]


def create_model(name: str, pretrained: bool = False, **overrides: Any) -> MGNet:
    """A network by name.

    Args:
        name: one of :func:`list_models`, or ``mgnet_`` or ``ffnet_`` followed by
            ``timm:<name>`` or ``torchvision:<name>``. ``ffnet_*`` is the feed-forward twin:
            T = 1 and the image's own size.
        pretrained: load the weights that the package brings (``mgnet_toy`` only).
        **overrides: fields of :class:`MGNetConfig` that shall differ from the name's defaults.
            With ``in_chans`` overridden, mean and std have no default (uint8 is only divided by
            255). With ``down_factor`` given, ``glimpse_size`` has none.

    Raises:
        ValueError: the name or an override is unknown, or there are no weights for the name.
        FileNotFoundError: the package was installed without its weights.
        ImportError: the name asks for a library that is not installed.
    """
    kind, backbone = _split(name)
    known = [field.name for field in fields(MGNetConfig)]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"create_model got unknown options {unknown}{hint}; known are {known}")
    if pretrained and name not in _SHIPPED:
        raise ValueError(
            f"pretrained weights are shipped for {', '.join(_SHIPPED)} only, got {name!r}"
        )
    config = MGNetConfig(**(name_defaults(kind, backbone, overrides) | overrides))
    model = MGNet(config, backbone)
    if pretrained:
        _load_shipped(model, name)
    return model


def _split(name: str) -> tuple[str, str]:
    kind, _, backbone = name.partition("_")
    is_foreign = backbone.startswith(("timm:", "torchvision:"))
    if name in list_models() or (kind in ("mgnet", "ffnet") and is_foreign):
        return kind, backbone
    close = difflib.get_close_matches(name, list_models(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"model {name!r} is unknown: {hint}known are {', '.join(list_models())}")


def _load_shipped(model: MGNet, name: str) -> None:
    weights = load_file(asset_path(f"{name}.safetensors"))
    if not model.config.has_glimpse_head:  # the head serves training only
        weights = {key: weights[key] for key in weights if not key.startswith("glimpse_fc.")}
    load_weights(model, weights, f"pretrained {name}")


def name_defaults(kind: str, backbone: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """The fields of :class:`MGNetConfig` that a name sets, where ``overrides`` do not speak."""
    defaults = dict(_TOY if backbone == "toy" else _IMAGENET)
    if backbone == "resnet18":
        defaults["gradient_scale"] = 0.02
    if kind == "ffnet":
        defaults |= _FEED_FORWARD
    if overrides.get("in_chans", defaults["in_chans"]) != defaults["in_chans"]:
        del defaults["mean"], defaults["std"]
    if overrides.get("down_factor") is not None:
        defaults["glimpse_size"] = None
    return defaults
