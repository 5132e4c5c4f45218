"""The families of networks, and networks by name."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import Any

from safetensors.torch import load_file

from ..assets import asset_path
from .backbones.foreign import is_foreign
from .family import Family
from .files.weights import load_weights
from .ltpa.family import LTPA_FAMILY
from .mgnet.family import FFNET, MGNET
from .network import GlimpseNetwork
from .stored_config import StoredConfig
from .tnet.family import TNET

# A new family is a folder beside mgnet/ and an entry here. If two families share a class, files
# name the first.
FAMILIES: tuple[Family, ...] = (MGNET, FFNET, TNET, LTPA_FAMILY)


def list_models() -> list[str]:
    """The names that :func:`create_model` knows."""
    return [name for family in FAMILIES for name in family.names]


def create_model(name: str, pretrained: bool = False, **overrides: Any) -> Any:
    """Makes a network by name, with random or pretrained weights.

    Args:
        name: one of :func:`list_models`, or ``mgnet_`` or ``ffnet_`` followed by
            ``timm:<name>`` or ``torchvision:<name>``. ``ffnet_*`` is the feed-forward twin:
            T = 1 and glimpses of the image's own size. ``tnet_*`` attends to cells, scale by
            scale; ``ltpa_*`` attends to its own maps.
        pretrained: load the weights that the package contains: ``mgnet_toy`` (with
            ``antialias=True`` those that were trained so) and ``tnet_toy``.
        **overrides: fields of the network's config (such as :class:`MGNetConfig`)
            that replace the defaults of the name. With ``in_chans`` overridden, mean and std have
            no default (uint8 is only divided by 255). With ``down_factor`` given,
            ``glimpse_size`` has none.

    Returns:
        The network, a :class:`GlimpseNetwork` on the CPU in training mode: an :class:`MGNet` for
        ``mgnet_*`` and ``ffnet_*``, a :class:`TNet` for ``tnet_*``, an :class:`LTPA` for
        ``ltpa_*``.

    Raises:
        TypeError: ``name`` is not a string, or an override has the wrong type.
        ValueError: the name or an override is unknown or out of range, or there are no weights
            for the name.
        FileNotFoundError: the package was installed without its weights.
        ImportError: the name asks for a library that is not installed.
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a str such as 'mgnet_toy', got {type(name).__name__}")
    family, backbone = family_and_backbone(name)
    known = [field.name for field in fields(family.config)]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"create_model got unknown options {unknown}{hint}; known are {known}")
    if pretrained and name not in family.shipped:
        shipped = ", ".join(each for kind in FAMILIES for each in kind.shipped)
        raise ValueError(f"pretrained weights are shipped for {shipped} only, got {name!r}")
    config = family.config(**(family.defaults(backbone, overrides) | overrides))
    model = family.build(config, backbone, None)
    if pretrained:
        _load_shipped(model, family, name)
    return model


def config_class(name: str) -> type[StoredConfig]:
    """The class of the config of the network with this name.

    Raises:
        ValueError: the name is unknown.
    """
    return family_and_backbone(name)[0].config


def family_of(model: GlimpseNetwork) -> Family | None:
    """The first family whose class ``model`` is of; None for a network made elsewhere."""
    return next((family for family in FAMILIES if isinstance(model, family.network)), None)


def family_named(prefix: str) -> Family | None:
    """The family with this prefix."""
    return next((family for family in FAMILIES if family.prefix == prefix), None)


def family_and_backbone(name: str) -> tuple[Family, str]:
    """The family of the network with this name, and the name without its prefix.

    Raises:
        ValueError: the name is unknown; the message proposes close ones.
    """
    prefix, _, backbone = name.partition("_")
    family = family_named(prefix)
    if family is not None and (
        backbone in family.backbones() or (family.takes_foreign and is_foreign(backbone))
    ):
        return family, backbone
    close = difflib.get_close_matches(name, list_models(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"model {name!r} is unknown: {hint}known are {', '.join(list_models())}")


def _load_shipped(model: GlimpseNetwork, family: Family, name: str) -> None:
    kind = "_antialias" if model.antialias else ""  # trained for the look that they will have
    if model.antialias not in family.shipped[name]:
        there = " or ".join(map(str, family.shipped[name]))
        raise ValueError(
            f"pretrained weights of {name} are for antialias = {there}, got {model.antialias}"
        )
    weights = load_file(asset_path(f"{name}{kind}.safetensors"))
    wanted = model.state_dict()
    for key in list(weights):
        if key not in wanted and key.startswith(family.training_only):
            del weights[key]
    load_weights(model, weights, f"pretrained {name}")
