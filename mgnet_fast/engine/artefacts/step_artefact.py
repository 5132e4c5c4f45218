"""Checks that an exported step belongs to a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch

from ...models import GlimpseNetwork, MGNet
from ..runners.kind import RunnerRequest

METADATA_KEY = "mgnet_fast"  # the manifest's key in the metadata of an ONNX file, as JSON
STEP_INPUTS = ("images", "region", "tokens", "length")
STEP_OUTPUTS = ("logits", "next_region", "token")
_UNUSED = ("glimpse_fc.", "num_batches_tracked")  # unused at inference
_EXPORT = "mgnet-fast export --checkpoint FILE --what step"


def weights_digest(model: GlimpseNetwork) -> str:
    """A digest of all weights used at inference, independent of dtype and device."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if any(part in name for part in _UNUSED):
            continue
        digest.update(name.encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_fits(description: Mapping[str, Any] | None, request: RunnerRequest) -> Mapping[str, Any]:
    """``description``, the manifest of the request's artefact, if it fits the request.

    Raises:
        ValueError: it is missing, or the artefact is a whole loop, of another network, in another
            precision or for fewer images.
    """
    name, model = f"artefact {request.artefact}", request.mgnet
    if description is None:
        raise ValueError(f"{name} has no description, so mgnet-fast did not write it: {_EXPORT}")
    what = description.get("what")
    if what != "step":
        raise ValueError(
            f"{name} is a {what}, but the engine needs a step, after which an image may "
            f"leave: {_EXPORT}"
        )
    found, wanted = dict(description), _identity(model)
    config = _OLDER_CONFIG | found["config"]
    found |= {f"config.{each}": config.get(each) for each in _CONFIG_THAT_MATTERS}
    for each, value in wanted.items():
        if found.get(each) != value:
            raise ValueError(
                f"{name} is of another network: its {each} is {found.get(each)!r}, the model's is "
                f"{value!r}; export this model again"
            )
    if description["precision"] != request.precision:
        raise ValueError(
            f"{name} is in {description['precision']}, and precision is {request.precision!r}: "
            f"give precision={description['precision']!r}"
        )
    batch = description["input"]["batch"]
    if batch["min"] > 1 or batch["max"] < request.slots:
        raise ValueError(
            f"{name} takes {batch['min']} to {batch['max']} images, and the engine sends 1 to "
            f"{request.slots}: give slots={batch['max']}, or export with --batch "
            f"1:{request.slots}:{request.slots}"
        )
    return description


# The other fields of a config only matter in training.
_CONFIG_THAT_MATTERS = (
    "in_chans", "glimpse_size", "down_factor", "scale_range", "mean", "std", "antialias",
)  # fmt: skip
_OLDER_CONFIG = {"antialias": False}  # of files that were written before there was the field


def _identity(model: MGNet) -> dict[str, Any]:
    """The fields that distinguish networks, as stored in a manifest."""
    config = json.loads(model.config.to_json())  # turns tuples into lists
    return {
        "num_glimpses": model.config.num_glimpses,
        "num_classes": model.config.num_classes,
        "token_width": model.loc_network.fc.in_features,
        **{f"config.{name}": config[name] for name in _CONFIG_THAT_MATTERS},
        "weights": weights_digest(model),
    }
