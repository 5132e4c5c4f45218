"""What the package must know of a family of networks to make, name, save and load its members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import nn

from .network import GlimpseNetwork
from .stored_config import StoredConfig


class Twin(NamedTuple):
    """The network that a cost is compared with.

    Attributes:
        name: for ``create_model``.
        overrides: fields of its config.
        title: what it is called in tables.
        instead: what the compared network does that this one does not; None: it takes glimpses.
    """

    name: str
    overrides: dict[str, Any]
    title: str = "FF-Net"
    instead: str | None = None


@dataclass(frozen=True)
class Family:
    """Networks of one class whose names share a prefix.

    Attributes:
        prefix: of the names: ``<prefix>_<backbone>``.
        network: their class.
        config: the class of their configs.
        backbones: the names that may follow the prefix.
        defaults: from a backbone's name and the caller's overrides to the config's other fields.
        build: from config, backbone (name or module) and the backbone's number of features (None:
            found from the backbone) to a network with random weights.
        usual_image_size: from a backbone's name and a config to the side, in pixels, of the images
            that the network is for.
        twin: from a backbone's name and the caller's overrides to the network without glimpses.
        takes_foreign: whether ``timm:<name>`` and ``torchvision:<name>`` may follow the prefix.
        shipped: full names whose trained weights the package contains, and for which values of
            ``antialias`` it does.
        training_only: prefixes of parameters that a network for inference may lack.
    """

    prefix: str
    network: type[GlimpseNetwork]
    config: type[StoredConfig]
    backbones: Callable[[], list[str]]
    defaults: Callable[[str, Mapping[str, Any]], dict[str, Any]]
    build: Callable[[Any, nn.Module | str, int | None], GlimpseNetwork]
    usual_image_size: Callable[[str, Any], int]
    twin: Callable[[str, Mapping[str, Any]], Twin]
    takes_foreign: bool = False
    shipped: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    training_only: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The full names of this package's own members."""
        return [f"{self.prefix}_{backbone}" for backbone in self.backbones()]


def feed_forward_twin(backbone: str, overrides: Mapping[str, Any]) -> Twin:
    """FF-Net with this backbone: one look at the whole image."""
    classes = {key: value for key, value in overrides.items() if key == "num_classes"}
    return Twin(f"ffnet_{backbone}", classes)
