"""Starts a run from weights: those of a checkpoint, or those of a classifier's backbone."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mgnet_fast.models import GlimpseNetwork
from mgnet_fast.models.files.backbone_weights import load_backbone_weights
from mgnet_fast.models.files.checkpoints import load_checkpoint
from mgnet_fast.models.files.weights import load_weights

_HEADS = ("global_fc.", "glimpse_fc.", "classifier.")


@dataclass(frozen=True)
class Start:
    """The files that a run starts from; None: random weights.

    Attributes:
        weights: a checkpoint, see :func:`load_start_weights`.
        backbone_weights: a classifier's state dict, see :func:`load_backbone_weights`.
    """

    weights: Path | None = None
    backbone_weights: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The given files, by the names under which a run's log has their fingerprints."""
        both = {"weights": self.weights, "backbone_weights": self.backbone_weights}
        return {name: path for name, path in both.items() if path is not None}

    def check(self, network_fields: Collection[str]) -> None:
        """Checks what can be checked before anything is read.

        Raises:
            ValueError: both files are given, or a backbone's without mean and std.
        """
        if len(self.files) > 1:
            raise ValueError("weights must be left out with backbone_weights")
        missing = [name for name in ("mean", "std") if name not in network_fields]
        if self.backbone_weights is not None and missing:
            raise ValueError(
                f"backbone_weights needs {' and '.join('--' + name for name in missing)}, in "
                "network_fields: those that the file's network was trained with, in units of "
                "[0, 1]. torchvision's files, and most of timm's, have --mean 0.485,0.456,0.406 "
                "--std 0.229,0.224,0.225; others of timm's have 0.5 everywhere (its pretrained_cfg "
                "says)"
            )

    def facts(self) -> dict[str, str]:
        """The fingerprint of each file.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return {name: file_fingerprint(path) for name, path in self.files.items()}

    def load(self, network: GlimpseNetwork, name: str) -> str:
        """Copies the weights into ``network``, which messages call ``name``; says what was done.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds no weights, or they do not fit.
        """
        if self.weights is not None:
            return "; " + load_start_weights(self.weights, network)
        if self.backbone_weights is None:
            return ""
        path, backbone = self.backbone_weights, network.bare_backbone
        dropped = load_backbone_weights(backbone, path, network.backbone_name or name)
        without = f" without {', '.join(dropped)}" if dropped else ""
        return f"; starting from the backbone in {path}{without}"


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
        weights = start.bare_backbone.state_dict()
        load_weights(network.bare_backbone, weights, f"the backbone of checkpoint {path}")
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
