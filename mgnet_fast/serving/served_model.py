"""What the service tells about its network: names, inputs, outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from ..models import GlimpseNetwork
from ..models.network import has_own_glimpse_size
from ..models.regions import smallest_look
from .protocol.tensors import BYTES

VERSION = "1"
FILES, PIXELS, IMAGES = "files", "pixels", "images"  # the inputs, of which a request has one
CLASS_NAME, EVERY_ANSWER = "class_name", "logits_after_each"
_LARGEST_TRIED = 1024


class Described(NamedTuple):
    """An input or output; -1 stands for any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ServedModel:
    """A network and its names.

    Args:
        name: in the addresses of the service.
        network: in evaluation mode.
        classes: their names, if known.
        lazy: whether files are decoded as the network looks at them, if it has a glimpse size.

    Attributes:
        inputs: by name; alternatives to each other.
        outputs: by name; what a request may ask for.
        looks: number of looks of each glimpse.
        channels: of the images.
        smallest_glimpse: side of the smallest square glimpse that the backbone takes, of a network
            whose glimpses depend on the image; else 0.

    Raises:
        ValueError: the name cannot be part of an address, or there is not one class name for each
            class.
    """

    def __init__(
        self,
        name: str,
        network: GlimpseNetwork,
        classes: Sequence[str] | None = None,
        lazy: bool = False,
    ) -> None:
        config = network.config
        if not name or not all(each.isalnum() or each in "_-." for each in name):
            raise ValueError(f"name must be letters, digits, '_', '-' and '.', got {name!r}")
        if classes is not None and len(classes) != config.num_classes:
            raise ValueError(
                f"classes must have one name for each of {config.num_classes}, got {len(classes)}"
            )
        self.name, self.classes = name, classes
        self.looks, self.channels = network.looks, config.in_chans
        self.decodes_as_it_looks = lazy and has_own_glimpse_size(config)
        self._first_look = None
        if self.decodes_as_it_looks:
            self._first_look = smallest_look(config), config.glimpse_shape((0, 0))
        self._glimpse_shape = None if has_own_glimpse_size(config) else config.glimpse_shape
        self.smallest_glimpse = _smallest_glimpse(network) if self._glimpse_shape else 0
        with torch.no_grad():
            unseen = network.start(torch.ones(1, 2, dtype=torch.int64))
            region = network.next_looks(unseen).region.shape[-1]
        channels, count = config.in_chans, config.num_classes
        inputs = (
            Described(FILES, BYTES, (-1,)),
            Described(PIXELS, "UINT8", (-1, -1, -1, channels)),
            Described(IMAGES, "FP32", (-1, channels, -1, -1)),
        )
        outputs = (
            Described("label", "INT64", (-1,)),
            *(() if classes is None else (Described(CLASS_NAME, BYTES, (-1,)),)),
            Described("confidence", "FP32", (-1,)),
            Described("glimpses", "INT64", (-1,)),
            Described("logits", "FP32", (-1, count)),
            Described("regions", "FP32", (-1, -1, region)),
            Described("glimpse_of_region", "INT64", (-1, -1)),
            Described(EVERY_ANSWER, "FP32", (-1, -1, count)),
        )
        self.inputs = {each.name: each for each in inputs}
        self.outputs = {each.name: each for each in outputs}
        self.output_names = tuple(self.outputs)

    def first_look(self) -> tuple[tuple[float, float, float], tuple[int, int]]:
        """What a file that is decoded lazily must be ready for: the smallest region that is looked
        at, and the size of a glimpse."""
        assert self._first_look is not None
        return self._first_look

    def takes(self, height: int, width: int) -> bool:
        """Whether the glimpses of images of this size are large enough for the backbone."""
        if self._glimpse_shape is None:
            return True
        try:
            return min(self._glimpse_shape((height, width))) >= self.smallest_glimpse
        except ValueError:  # no pixel is left
            return False

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata."""
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "mgnet_fast",
            "inputs": [each._asdict() for each in self.inputs.values()],
            "outputs": [each._asdict() for each in self.outputs.values()],
        }


@torch.no_grad()
def _smallest_glimpse(network: GlimpseNetwork) -> int:
    """By trial: backbones say only by an error that a map has become too small for a kernel."""
    some = next(network.parameters())

    def takes(side: int) -> bool:
        glimpse = torch.zeros(1, network.config.in_chans, side, side, dtype=some.dtype)
        try:
            network.feature(glimpse.to(some.device))
        except (RuntimeError, ValueError):
            return False
        return True

    too_small, enough = 0, 1
    while not takes(enough) and enough < _LARGEST_TRIED:
        too_small, enough = enough, 2 * enough
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        too_small, enough = (too_small, middle) if takes(middle) else (middle, enough)
    return enough
