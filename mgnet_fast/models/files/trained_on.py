"""Facts about the training images in a checkpoint's header."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from safetensors import SafetensorError, safe_open

_KEY = "mgnet_fast.images"


@dataclass(frozen=True)
class TrainedOn:
    """Classes and sizes of the images that a network was trained on.

    Attributes:
        classes: names in the order of the network's outputs.
        image_size: side of the training images in pixels.
        resize: shorter side of a validation image in pixels, before its central crop.
    """

    classes: tuple[str, ...]
    image_size: int
    resize: int

    def to_header(self) -> dict[str, str]:
        """Metadata for :func:`save_checkpoint`."""
        return {_KEY: json.dumps(asdict(self))}


def read_trained_on(path: str | os.PathLike[str]) -> TrainedOn | None:
    """Reads from a checkpoint what :meth:`TrainedOn.to_header` wrote; None if it has no entry.

    Raises:
        ValueError: the entry is malformed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
    except SafetensorError:  # a Lightning checkpoint
        return None
    if text is None:
        return None
    try:
        values = json.loads(text)
        return TrainedOn(
            tuple(map(str, values["classes"])), int(values["image_size"]), int(values["resize"])
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"checkpoint {path} has a malformed entry {_KEY} ({error!r})") from error
