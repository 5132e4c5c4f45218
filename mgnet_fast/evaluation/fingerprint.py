"""Which network rows of an evaluation belong to."""

from __future__ import annotations

import hashlib

from mgnet_fast.models import MGNet


def fingerprint(model: MGNet) -> str:
    """The same for the same network, so that rows of another one are not taken for its own."""
    digest = hashlib.sha256(model.config.to_json().encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()[:16]
