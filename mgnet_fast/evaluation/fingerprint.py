"""A digest that identifies a network."""

from __future__ import annotations

import hashlib
import json

from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.network import config_values


def fingerprint(model: GlimpseNetwork) -> str:
    """16 hex digits from the config and all weights; equal for equal networks only."""
    digest = hashlib.sha256(json.dumps(config_values(model.config)).encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]
