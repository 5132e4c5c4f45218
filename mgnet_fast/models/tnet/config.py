"""The config of a Traversal Network: frozen and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..config_checks import checked_channels, checked_number, require_positive_int
from ..stored_config import StoredConfig

Design = Literal["bagnet", "efficientnet"]


@dataclass(frozen=True)
class TNetConfig(StoredConfig):
    """All numbers that define a TNet apart from its backbone.

    Attributes:
        num_classes: K, number of classes.
        in_chans: C, channels of the images.
        base_size: the image and every crop are resized to this many pixels each way.
        grid: n; every image or crop has n x n cells that may be looked at next.
        overlap: side of a cell as a share of the side of its image or crop, in (0, 1].
        locations: for each level but the last, the number of cells looked at in the next level,
            of each image or crop. ``len(locations) + 1`` levels.
        design: which of the published location modules and position encodings: see
            :mod:`.locations` and :mod:`.features`.
        weighted_features: whether the class head weights the features by a learned gate; else it
            takes their mean.
        mean: per channel, in units of [0, 1]; applied to uint8 images only.
        std: per channel, in units of [0, 1]; applied to uint8 images only.
        joint_weight: w of the loss: the share of the terms of all features together, in [0, 1];
            the terms of single features have the rest.
        loss_levels: the terms of single features are taken in this many first levels; None: in
            all.
        dropout: before the class head, in training.
        map_dropout: share of feature maps set to 0 before a BagNet's average, in training.
        block_dropout: largest share of stochastic depth in an EfficientNet, in training.
        antialias: whether glimpses average the pixels between their samples, see
            :func:`mgnet_fast.glimpse`. Published networks do not.

    Raises:
        ValueError: a value is out of range, or lengths do not fit ``in_chans``.
        TypeError: a value has the wrong type.

    Source: TNet paper (arXiv 2102.10212), section 3 and appendix.
    """

    num_classes: int = 1000
    in_chans: int = 3
    base_size: int = 224
    grid: int = 5
    overlap: float = 0.35
    locations: tuple[int, ...] = (5,)
    design: Design = "efficientnet"
    weighted_features: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    joint_weight: float = 0.3
    loss_levels: int | None = None
    dropout: float = 0.0
    map_dropout: float = 0.0
    block_dropout: float = 0.0
    antialias: bool = False

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_chans", "base_size", "grid"):
            require_positive_int(name, getattr(self, name))
        for name in ("grid", "base_size"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")
        self._set("overlap", checked_number("overlap", self.overlap))
        if not 0.0 < self.overlap <= 1.0:
            raise ValueError(f"overlap must be above 0 and at most 1, got {self.overlap}")
        self._set("locations", self.checked_locations(self.locations, least=1))
        if self.design not in get_args(Design):
            raise ValueError(f"design must be one of {get_args(Design)}, got {self.design!r}")
        for name in ("weighted_features", "antialias"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool, got {getattr(self, name)!r}")
        for name in ("mean", "std"):
            self._set(name, checked_channels(name, getattr(self, name), self.in_chans))
        if self.std is not None and min(self.std) <= 0.0:
            raise ValueError(f"std must be positive, got {self.std}")
        for name in ("joint_weight", "dropout", "map_dropout", "block_dropout"):
            share = checked_number(name, getattr(self, name))
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {share}")
            self._set(name, share)
        if self.loss_levels is not None:
            require_positive_int("loss_levels", self.loss_levels)

    @property
    def num_glimpses(self) -> int:
        """The number of levels, each of which is a step of several looks."""
        return len(self.locations) + 1

    @property
    def looks(self) -> tuple[int, ...]:
        """Looks per image at each level."""
        return looks_at(self.locations)

    @property
    def scale_range(self) -> tuple[float, float]:
        """Scales of the smallest look, up to rounding, and of the largest."""
        return self.overlap ** len(self.locations), 1.0

    def glimpse_shape(self, image_size: int | tuple[int, int]) -> tuple[int, int]:
        """Height and width of a glimpse in pixels: ``base_size`` each, for all images."""
        return self.base_size, self.base_size

    def checked_locations(self, locations: object, *, least: int = 0) -> tuple[int, ...]:
        """``locations`` as one number for each level but the last; a number alone is the first.

        Args:
            locations: an int or a sequence of ints.
            least: the smallest number allowed. 0 ends with the level before.

        Raises:
            TypeError: it is not made of ints.
            ValueError: a number is out of range.
        """
        numbers = [locations] if isinstance(locations, int) else locations
        if isinstance(numbers, str) or not isinstance(numbers, Sequence):
            raise TypeError(f"locations must be an int or a sequence of ints, got {locations!r}")
        for number in numbers:
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError(f"locations must be ints, got {number!r}")
            if not least <= number <= self.grid**2:
                raise ValueError(
                    f"locations must be {least} to {self.grid**2}, the number of cells of a grid "
                    f"of {self.grid} x {self.grid}, got {number}"
                )
        return tuple(numbers)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def looks_at(locations: Sequence[int]) -> tuple[int, ...]:
    """Looks per image at each level, up to the first 0."""
    looks = [1]
    for number in locations:
        if number == 0:
            break
        looks.append(looks[-1] * number)
    return tuple(looks)
