"""Weights of the PyTorch port of the paper's VGG, github.com/SaoYan/LearnToPayAttention.

Its names stand here as facts; none of its code does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..backbones.vgg import CONVOLUTIONS, HALVINGS
from .config import LTPAConfig
from .family import CIFAR_MEAN, CIFAR_STD

_NAMES = (
    (r"conv_block(\d)\.op\.", r"backbone.network.block\1."),
    (r"dense\.", "backbone.network.last."),
    (r"projector\.op\.", "backbone.attention.0.projection."),
    (r"classify\.", "classifier."),
)
_SCORE = re.compile(r"attn(\d)\.op\.weight")
_BLOCKS = [f"conv_block{block}.op.0.weight" for block in range(1, len(CONVOLUTIONS) + 1)]
_TELLING = (*_BLOCKS, "dense.weight", "classify.weight")
UNTOLD = ("attend",)
"""Fields of the config that the weights do not tell."""


def is_of_the_port(weights: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the port's names, with attention or without."""
    return all(name in weights for name in _TELLING)


def port_config(weights: Mapping[str, Tensor]) -> LTPAConfig:
    """The config that the shapes of the port's weights tell; ``attend`` is not among it.

    The port can also be trained with a sigmoid instead of the softmax over positions, under the
    same names. This package computes the softmax, as the paper does.

    Raises:
        ValueError: the shapes are not those of such a network.
    """
    in_chans = weights[_BLOCKS[0]].shape[1]
    left = weights["dense.weight"].shape[2:]
    is_cifar = in_chans == len(CIFAR_MEAN)
    fields: dict[str, Any] = {
        "num_classes": weights["classify.weight"].shape[0],
        "in_chans": in_chans,
        "levels": sum(_SCORE.fullmatch(name) is not None for name in weights),
        "glimpse_size": tuple(side << HALVINGS for side in left),
        "widths": tuple(weights[name].shape[0] for name in _BLOCKS),
        "mean": CIFAR_MEAN if is_cifar else None,
        "std": CIFAR_STD if is_cifar else None,
    }
    return LTPAConfig(**fields)


def from_port(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The port's weights under this package's names, its 1x1 convolutions as matrices."""
    found = {}
    for name, value in weights.items():
        score = _SCORE.fullmatch(name)
        if score is not None:
            found[f"backbone.attention.{int(score[1]) - 1}.score.weight"] = value.flatten(1)
            continue
        for theirs, ours in _NAMES:
            renamed, count = re.subn("^" + theirs, ours, name)
            if count:
                found[renamed] = value.flatten(1) if "projection" in renamed else value
                break
        else:
            found[name] = value  # which load_weights then calls unexpected
    return found
