"""The names of TNets, with the published settings of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..backbones.bagnet import BagNet77
from ..backbones.efficientnet import EfficientNet, GridSource
from ..backbones.toy_grid import ToyGrid
from ..family import Family, Twin, feed_forward_twin
from .config import TNetConfig
from .network import TNet

_FMOW = {
    "num_classes": 62,
    "grid": 3,
    "overlap": 0.5,
    "dropout": 0.5,
    "block_dropout": 0.3,
}
_BIRDS = {
    "num_classes": 200,
    "grid": 5,
    "overlap": 0.35,
    "locations": (5,),
    "weighted_features": True,
    "dropout": 0.75,
    "block_dropout": 0.5,
}
_SETTINGS: dict[str, dict[str, Any]] = {
    "toy": {
        "num_classes": 10,
        "in_chans": 1,
        "base_size": 56,
        "grid": 6,
        "overlap": 0.2232,
        "locations": (4,),
        "design": "bagnet",
        "mean": (0.1307,),
        "std": (0.3081,),
        "antialias": True,
    },
    "bagnet77": {
        "base_size": 77,
        "grid": 5,
        "overlap": 0.34375,
        "locations": (3,),
        "design": "bagnet",
        "map_dropout": 0.5,
    },
    "efficientnet_b0_fmow448": {**_FMOW, "locations": (2,), "joint_weight": 0.2},
    "efficientnet_b0_fmow896": {
        **_FMOW,
        "locations": (2, 1),
        "joint_weight": 0.05,
        "loss_levels": 2,
    },
    **{f"efficientnet_b{number}": _BIRDS for number in range(5)},
}
_IMAGENET_COLOURS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

_GRIDS = {
    3: GridSource(stage=3, block=2, first=2, end=None, step=4),
    5: GridSource(stage=2, block=1, first=5, end=22, step=4),
}
_B0_GRID = GridSource(stage=3, block=0, first=2, end=12, step=2)  # B0's stage 2 is too narrow


def _usual_image_size(name: str, config: TNetConfig) -> int:
    if name.startswith("efficientnet"):
        return 896 if name.endswith("896") else 448
    return 224 if name == "bagnet77" else 448


def _twin(name: str, overrides: Mapping[str, Any]) -> Twin:
    backbone = name.removesuffix("_fmow448").removesuffix("_fmow896")  # FF-Nets name no data set
    return feed_forward_twin(backbone, overrides)


def tnet_defaults(name: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of :class:`TNetConfig` that a name sets.

    With ``in_chans`` overridden, mean and std have no default.

    Source: TNet paper, section 4; published code.
    """
    settings = _IMAGENET_COLOURS | _SETTINGS[name]
    channels = settings.get("in_chans", 3)
    if overrides.get("in_chans", channels) != channels:
        del settings["mean"], settings["std"]
    return settings


def build_tnet(config: TNetConfig, backbone: nn.Module | str, dim: int | None = None) -> TNet:
    """A TNet with random weights.

    Args:
        config: its numbers.
        backbone: one of the names after ``tnet_``, or a module with location features, see
            :class:`.located.LocatedBackbone`.
        dim: not needed; the backbone tells.

    Raises:
        ValueError: the name is unknown.
        TypeError: the module has no location features.
    """
    if not isinstance(backbone, str):
        return TNet(config, backbone)
    if backbone not in _SETTINGS:
        raise ValueError(f"backbone must be one of {', '.join(_SETTINGS)}, got {backbone!r}")
    model = TNet(config, _network(backbone, config))
    model.backbone_name = backbone
    return model


def _network(name: str, config: TNetConfig) -> nn.Module:
    if name == "toy":
        return ToyGrid(config.in_chans)
    if name == "bagnet77":
        return BagNet77(config.in_chans, map_dropout=config.map_dropout)
    variant = name.split("_")[1]
    grid = _GRIDS.get(config.grid)
    if grid is None:
        raise ValueError(
            f"grid must be {' or '.join(map(str, _GRIDS))} for {name}, got {config.grid}"
        )
    if variant == "b0" and config.grid == 5:
        grid = _B0_GRID
    return EfficientNet(variant, config.in_chans, grid=grid, drop=config.block_dropout)


TNET = Family(
    prefix="tnet",
    network=TNet,
    config=TNetConfig,
    backbones=lambda: list(_SETTINGS),
    defaults=tnet_defaults,
    build=build_tnet,
    usual_image_size=_usual_image_size,
    twin=_twin,
    shipped={"tnet_toy": (True,)},
)
