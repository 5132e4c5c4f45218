"""Learning rates that fall from the heads to the first layers of a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from mgnet_fast.models import GlimpseNetwork


def backbone_layers(backbone: nn.Module) -> list[list[nn.Parameter]]:
    """The parameters of each layer of a backbone, in the order in which its modules were made.

    A layer is a module with parts that is not merely a list of modules, such as a residual
    block, or else a single convolution or linear layer with the norm that follows.
    """
    own = list(backbone.parameters(recurse=False))
    layers = [own] if own else []  # such as a transformer's embedding of positions
    _collect(backbone.children(), layers)
    return layers


def parameter_groups(model: nn.Module, layer_decay: float) -> list[dict[str, Any]]:
    r"""Parameters of an optimiser, in groups with a factor on the learning rate, ``lr_factor``.

    Layer i = 1..n of the backbone learns at :math:`d^{n + 1 - i}` times the rate of everything
    else, d = ``layer_decay``. With d = 1 there is one group.

    Source: Clark et al., "ELECTRA", 2020, and Bao et al., "BEiT", 2021, for fine-tuning.
    """
    if layer_decay == 1 or not isinstance(model, GlimpseNetwork):
        return [{"params": list(model.parameters())}]
    layers = backbone_layers(model.bare_backbone)
    inside = {id(parameter) for layer in layers for parameter in layer}
    groups: list[dict[str, Any]] = [
        {"params": layer, "lr_factor": layer_decay ** (len(layers) - index)}
        for index, layer in enumerate(layers)
    ]
    rest = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    return [*groups, {"params": rest, "lr_factor": 1.0}]


def _collect(modules: Iterable[nn.Module], layers: list[list[nn.Parameter]]) -> None:
    for module in modules:
        parameters = list(module.parameters())
        if not parameters:
            continue
        if isinstance(module, (nn.Sequential, nn.ModuleList)):
            _collect(module.children(), layers)
        elif layers and all(parameter.dim() < 2 for parameter in parameters):
            layers[-1] += parameters
        else:
            layers.append(parameters)
