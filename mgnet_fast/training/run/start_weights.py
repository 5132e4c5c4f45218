"""Starts a run from the weights of a checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.files.checkpoints import load_checkpoint
from mgnet_fast.models.files.weights import load_weights
from mgnet_fast.models.tnet.located import LocatedBackbone

_HEADS = ("global_fc.", "glimpse_fc.", "classifier.")


def file_fingerprint(path: Path) -> str:
    """The first 16 digits of a file's SHA-256; logs name files by it, because they hold no paths.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"weights {path} do not exist")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def load_start_weights(path: Path, network: GlimpseNetwork) -> str:
    """Copy a checkpoint's weights into `network`.

    Class heads for another number of classes, or missing from the checkpoint, keep their random
    weights. Everything else must fit. Of a checkpoint of another family only the backbone is
    taken, which must fit.

    Returns:
        A description of what was done.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint, or belongs to another network.
    """
    start = load_checkpoint(path)
    if type(start) is not type(network):
        backbone = network.backbone
        if isinstance(backbone, LocatedBackbone):
            backbone = backbone.network
        load_weights(backbone, start.backbone.state_dict(), f"the backbone of checkpoint {path}")
        return f"starting from the backbone of {path}"
    mine, weights = network.state_dict(), start.state_dict()
    before, wanted = start.config.num_classes, network.config.num_classes
    fitting = {
        name: value
        for name, value in weights.items()
        if not name.startswith(_HEADS) or (before == wanted and name in mine)
    }
    own_heads = {name: value for name, value in mine.items() if name.startswith(_HEADS)}
    load_weights(network, own_heads | fitting, f"checkpoint {path}")
    if before != wanted:
        return f"starting from {path} with new class heads ({wanted} classes, not {before})"
    return f"starting from {path}"
