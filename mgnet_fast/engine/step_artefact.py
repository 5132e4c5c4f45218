"""What a file that holds one step of a network says about itself, and whether it fits a network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..models import MGNet

METADATA_KEY = "mgnet_fast"  # of the manifest, as JSON, among an ONNX file's metadata
STEP_INPUTS = ("images", "region", "tokens", "length")
STEP_OUTPUTS = ("logits", "next_region", "token")
_UNUSED = ("glimpse_fc.", "num_batches_tracked")  # what inference does not read
_EXPORT = "mgnet-fast export CHECKPOINT --what step"


def weights_digest(model: MGNet) -> str:
    """A fingerprint of everything that inference reads, whatever its dtype and device."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if any(part in name for part in _UNUSED):
            continue
        digest.update(name.encode())
        digest.update(value.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def check_fits(description: Mapping[str, Any] | None, model: MGNet, path: Path) -> None:
    """Raises where ``description``, a manifest, is not that of one step of ``model``.

    Raises:
        ValueError: it is missing, or of a whole loop, or of another network.
    """
    if description is None:
        raise ValueError(
            f"artefact {path} does not say what it is, so mgnet-fast did not write it: {_EXPORT}"
        )
    what = description.get("what")
    if what != "step":
        raise ValueError(
            f"artefact {path} is a {what}, and the engine needs a step, after each of which an "
            f"image may leave: {_EXPORT}"
        )
    config = model.config
    for name, wanted in (
        ("num_glimpses", config.num_glimpses),
        ("num_classes", config.num_classes),
        ("token_width", model.loc_network.fc.in_features),
        ("weights", weights_digest(model)),
    ):
        if description.get(name) != wanted:
            raise ValueError(
                f"artefact {path} is of another network: its {name} is "
                f"{description.get(name)!r}, the model's is {wanted!r}; export this model again"
            )
    for name, wanted in config.to_dict().items():
        if name in _CONFIG_THAT_MATTERS and _plain(description["config"].get(name)) != _plain(
            wanted
        ):
            raise ValueError(
                f"artefact {path} is of another network: its config has {name} = "
                f"{description['config'].get(name)!r}, the model's {wanted!r}; "
                "export this model again"
            )


# The other numbers of a config are those of training.
_CONFIG_THAT_MATTERS = ("in_chans", "glimpse_size", "down_factor", "scale_range", "mean", "std")


def _plain(value: object) -> object:
    """JSON knows no tuples."""
    return list(value) if isinstance(value, tuple) else value
