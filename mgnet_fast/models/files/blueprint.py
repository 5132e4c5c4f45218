"""The family, config and backbone of the network in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..backbones.by_name import create_backbone, list_backbones
from ..family import Family
from ..mgnet.config import MGNetConfig
from ..mgnet.family import MGNET, mgnet_defaults
from ..stored_config import StoredConfig

_PREFIX = "backbone."


@dataclass(frozen=True)
class Blueprint:
    """Family, config and name of the backbone, as far as a file records them.

    Attributes:
        source: the file, for error messages.
        config: None if the file has none.
        backbone: None if the file names none.
        family: MGNET for files without an entry.
        untold: fields of the config that the file does not tell, so that the caller must.
    """

    source: str
    config: StoredConfig | None
    backbone: str | None
    family: Family = MGNET
    untold: tuple[str, ...] = ()

    def completed(self, weights: Mapping[str, Tensor], overrides: Mapping[str, Any]) -> Blueprint:
        """The blueprint with ``overrides`` applied, and gaps filled from names and shapes.

        Raises:
            ValueError: neither the file nor ``overrides`` give number and size of the glimpses,
                or other fields that the file does not tell; or an override is unknown.
        """
        missing = [name for name in self.untold if name not in overrides]
        if missing:
            raise ValueError(
                f"{self.source} does not tell {', '.join(missing)} of its network: "
                f"give {', '.join(f'{name}=' for name in missing)}"
            )
        backbone = self.backbone or identified_backbone(weights)
        if self.config is not None:
            changes = dict(overrides)
            if changes.get("glimpse_size") is not None:
                changes.setdefault("down_factor", None)
            elif changes.get("down_factor") is not None:
                changes["glimpse_size"] = None
            config = type(self.config).from_dict(self.config.to_dict() | changes)
            return replace(self, config=config, backbone=backbone)
        if "num_glimpses" not in overrides or not {"glimpse_size", "down_factor"} & set(overrides):
            raise ValueError(
                f"{self.source} does not give the number and size of its network's glimpses: "
                "give num_glimpses and glimpse_size (or down_factor)"
            )
        config = _config_from_weights(weights, backbone, overrides)
        return replace(self, config=config, backbone=backbone)


def identified_backbone(weights: Mapping[str, Tensor]) -> str | None:
    """The backbone of this package with exactly these names and shapes, if there is one."""
    shapes = {
        name.removeprefix(_PREFIX): tensor.shape
        for name, tensor in weights.items()
        if name.startswith(_PREFIX)
    }
    if "conv1.weight" not in shapes or len(shapes["conv1.weight"]) != 4:
        return None
    for name in list_backbones():
        with torch.device("meta"):
            candidate = create_backbone(name, in_chans=shapes["conv1.weight"][1])
        if shapes == {key: tensor.shape for key, tensor in candidate.state_dict().items()}:
            return name
    return None


def _config_from_weights(
    weights: Mapping[str, Tensor], backbone: str | None, overrides: Mapping[str, Any]
) -> MGNetConfig:
    found: dict[str, Any] = {}
    if "global_fc.fc.weight" in weights:
        found["num_classes"] = weights["global_fc.fc.weight"].shape[0]
    if "glimpse_fc.fc.weight" not in weights:
        found["alpha"] = 0.0
    first = weights.get(_PREFIX + "conv1.weight")
    if first is not None and first.dim() == 4:
        found["in_chans"] = first.shape[1]
    found |= overrides
    return MGNetConfig.from_dict(mgnet_defaults(backbone or "", found) | found)
