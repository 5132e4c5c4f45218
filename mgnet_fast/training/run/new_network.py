"""The initial network of a run."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from mgnet_fast.models import MGNet, create_model
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
    antialias: bool = False,
) -> MGNet:
    """The network of a run with its initial weights, on the CPU, in channels_last.

    Args:
        name: as for `create_model`.
        recipe: sets alpha and gradient_scale, if it has them.
        data: the training data.
        num_glimpses: None keeps that of the data or the name.
        glimpse_loss: "reference" or "paper".
        seed: of the weights.
        antialias: see `MGNetConfig`.

    Raises:
        ValueError: a name or number does not fit.
    """
    overrides: dict[str, Any] = {**data.model_options, "glimpse_loss": glimpse_loss}
    wanted = {
        "alpha": recipe.alpha,
        "gradient_scale": recipe.gradient_scale,
        "num_glimpses": num_glimpses,
    }
    overrides |= {field: value for field, value in wanted.items() if value is not None}
    if antialias:
        overrides["antialias"] = True
    torch.manual_seed(seed)
    network = create_model(name, **overrides)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def synchronised(network: MGNet, workers: Workers) -> MGNet:
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
    return cast(MGNet, nn.SyncBatchNorm.convert_sync_batchnorm(network))
