"""Networks from the published code: from its constructor arguments and from its live models.

Its names and defaults are those of github.com/siahuat0727/MGNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..mgnet.config import MGNetConfig
from ..mgnet.network import POSITION_DIM, MGNet
from ..shared_folder import provides
from .blueprint import Blueprint, identified_backbone
from .weights import load_weights

_TOY = "vanilla"  # its name for the toy CNN


class UnmeasuredGradients:
    """A gradient monitor for the published training script that measures nothing.

    Its numbers are NaN, so that logs do not show made-up values.
    """

    def __init__(self, num_glimpses: int) -> None:
        self.stds = torch.full((num_glimpses - 1,), torch.nan)
        self.grad_scales = torch.full((num_glimpses - 1,), torch.nan)
        self.ratio = torch.tensor(0.0)

    def scale(self) -> Tensor:
        """The scale applied to gradients: NaN, none is applied."""
        return torch.tensor(torch.nan)

    def update_ratio(self, epoch: int, total_epoch: int) -> None:
        """Called once a step by the script; the ratio stays 0, which means off."""


def config_from_hparams(hparams: Any, in_chans: int) -> MGNetConfig:
    """The config for constructor arguments of the published code.

    Accepts its parsed command line and the namespace that its main script makes from it.

    Raises:
        TypeError: ``hparams`` is neither a mapping nor a namespace.
        ValueError: a name is missing, or an option has a value that this package does not support.
    """
    values = _as_mapping(hparams)
    missing = [name for name in ("num_class", "n_iter", "scale") if name not in values]
    if missing:
        raise ValueError(f"hparams must have num_class, n_iter and scale, got none of {missing}")
    _refuse_foreign_options(values)
    config = MGNetConfig(
        num_classes=values["num_class"],
        in_chans=in_chans,
        num_glimpses=values["n_iter"],
        glimpse_size=None,
        scale_range=_scale_range(values),
        gradient_scale=values.get("s", 1.0),
        alpha=values.get("alpha", 0.0),
        down_factor=values["scale"],
    )
    if values.get("aux", config.has_glimpse_head) != config.has_glimpse_head:
        raise ValueError(
            "hparams.aux must say whether alpha > 0 and n_iter >= 2, "
            f"got aux={values['aux']}, alpha={config.alpha}, n_iter={config.num_glimpses}"
        )
    return config


@provides("from_hparams")
def network_from_hparams(hparams: Any, backbone: nn.Module, dim: int) -> MGNet:
    """See :meth:`MGNet.from_hparams`."""
    model = MGNet(config_from_hparams(hparams, _in_chans(backbone)), backbone, dim)
    named = _backbone_name(_as_mapping(hparams))
    if named == identified_backbone(model.state_dict()) and _has_stem_pool(backbone):
        model.backbone_name = named
    model.gem = UnmeasuredGradients(model.config.num_glimpses)
    return model


@provides("from_reference")
def network_from_reference(module: nn.Module) -> MGNet:
    """See :meth:`MGNet.from_reference`."""
    parts = ("hparams", "backbone", "feat_fusion", "loc_network", "global_fc")
    missing = [name for name in parts if not hasattr(module, name)]
    if missing:
        raise ValueError(
            f"module must be a network of the published code, got {type(module).__name__} "
            f"without {', '.join(missing)}"
        )
    weights = module.state_dict(keep_vars=True)
    if "global_fc.fc.weight" not in weights:
        raise ValueError("module must have a linear layer global_fc.fc, got none")
    classifier = weights["global_fc.fc.weight"]
    if not isinstance(module.backbone, nn.Module):
        raise ValueError(f"module.backbone must be an nn.Module, got {type(module.backbone)}")
    dim = classifier.shape[1] - POSITION_DIM
    model = network_from_hparams(module.hparams, module.backbone, dim)
    load_weights(model, weights, "module", share=True)
    return model.train(module.training)


def blueprint_from_hparams(source: str, hparams: Any, weights: Mapping[str, Tensor]) -> Blueprint:
    """The blueprint in a checkpoint's hyper-parameters.

    Raises:
        ValueError: they are not those of the published code.
    """
    first = weights.get("backbone.conv1.weight")
    in_chans = first.shape[1] if first is not None and first.dim() == 4 else 3
    values = _as_mapping(hparams)
    try:
        return Blueprint(source, config_from_hparams(values, in_chans), _backbone_name(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} has hyper-parameters that do not fit: {error}") from error


def _as_mapping(hparams: Any) -> Mapping[str, Any]:
    if not isinstance(hparams, Mapping) and not hasattr(hparams, "__dict__"):
        raise TypeError(f"hparams must be a mapping or a namespace, got {type(hparams).__name__}")
    values = hparams if isinstance(hparams, Mapping) else vars(hparams)
    inner = values.get("hparams")
    return values if inner is None else _as_mapping(inner)


def _backbone_name(values: Mapping[str, Any]) -> str | None:
    name = values.get("model")
    return "toy" if name == _TOY else name


def _scale_range(values: Mapping[str, Any]) -> tuple[float, float]:
    low = values.get("scale_min", 0.2)
    if "scale_max" in values:
        return low, values["scale_max"]
    return low, low + values.get("scale_range", 0.3)


def _refuse_foreign_options(values: Mapping[str, Any]) -> None:
    """Raises ValueError for options that the published code has beyond its paper."""
    neutral: dict[str, tuple[Any, ...]] = {
        "trans_method": ("tight-crop",),
        "no_detach": (False,),
        "no_spatial_clue": (False,),
        "dropout": (0.0,),
        "ge": (None,),
        "ssl": (False,),
    }
    for name, accepted in neutral.items():
        if name in values and values[name] not in accepted:
            raise ValueError(f"hparams.{name} must be {accepted[0]!r}, got {values[name]!r}")


def _has_stem_pool(backbone: nn.Module) -> bool:
    """Whether the stem has its max-pool, which the parameters do not show."""
    return isinstance(getattr(backbone, "maxpool", nn.MaxPool2d(1)), nn.MaxPool2d)


def _in_chans(backbone: nn.Module) -> int:
    for parameter in backbone.parameters():
        if parameter.dim() == 4:
            return parameter.shape[1]
    return 3
