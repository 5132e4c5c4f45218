"""The initial network of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

import torch
from torch import nn

from mgnet_fast.models import GlimpseNetwork, create_model
from mgnet_fast.models.backbones.by_name import backbone_dim
from mgnet_fast.models.backbones.foreign import check_features, is_foreign
from mgnet_fast.models.registry import config_class
from mgnet_fast.training.distributed import Workers
from mgnet_fast.training.recipe import Recipe
from mgnet_fast.training.run.data import RunData


def new_network(
    name: str,
    recipe: Recipe,
    data: RunData,
    num_glimpses: int | None,
    glimpse_loss: str,
    seed: int,
    antialias: bool | None = None,
    network_fields: Mapping[str, Any] | None = None,
) -> GlimpseNetwork:
    """The network of a run with its initial weights, on the CPU, in channels_last.

    Args:
        name: as for `create_model`.
        recipe: sets alpha and gradient_scale, if it has them.
        data: the training data.
        num_glimpses: None keeps that of the data or the name.
        glimpse_loss: "reference" or "paper".
        seed: of the weights.
        antialias: see `MGNetConfig`; None keeps that of the name.
        network_fields: further fields of the network's config.

    What the recipe says about parts that only some networks have applies to those alone.

    Raises:
        ValueError: a name or number does not fit.
    """
    known = {field.name for field in fields(config_class(name))}
    wanted = {"alpha": recipe.alpha, "gradient_scale": recipe.gradient_scale}
    overrides: dict[str, Any] = {}
    overrides |= {key: value for key, value in wanted.items() if key in known and value is not None}
    overrides |= data.model_options
    if glimpse_loss != "reference" or "glimpse_loss" in known:
        overrides["glimpse_loss"] = glimpse_loss
    if num_glimpses is not None:
        overrides["num_glimpses"] = num_glimpses
    if antialias is not None:
        overrides["antialias"] = antialias
    overrides |= network_fields or {}
    torch.manual_seed(seed)
    network: GlimpseNetwork = create_model(name, **overrides)
    side, foreign = data.facts.get("image_size"), network.backbone_name or ""
    if is_foreign(foreign) and side is not None:
        size = network.config.glimpse_shape(side)
        dim = backbone_dim(network.backbone)
        check_features(network.backbone, foreign, dim, network.config.in_chans, size)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def synchronised(network: GlimpseNetwork, workers: Workers) -> GlimpseNetwork:
    """The network with batch norm over the images of all processes.

    Raises:
        ValueError: it is on a CPU.
    """
    if next(network.parameters()).device.type != "cuda":
        raise ValueError(
            "sync_batch_norm must be False on a CPU: PyTorch's SyncBatchNorm runs on GPUs only"
        )
    if workers.world_size == 1:
        return network
    return cast(GlimpseNetwork, nn.SyncBatchNorm.convert_sync_batchnorm(network))
