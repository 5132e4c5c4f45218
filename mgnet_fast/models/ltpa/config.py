"""The config of a network that attends to its own maps: frozen and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..config_checks import checked_channels, checked_size, require_positive_int
from ..stored_config import StoredConfig
from .attention import Projected, Score

Head = Literal["concat", "indep"]
Attend = Literal["before", "after"]
VGG_WIDTHS = (64, 128, 256, 512, 512, 512)


@dataclass(frozen=True)
class LTPAConfig(StoredConfig):
    """All numbers that define an attending network apart from the name of its backbone.

    Attributes:
        num_classes: K, number of classes.
        in_chans: C, channels of the images.
        levels: how many maps are attended to: the last ones of the backbone. 0: none, the same
            network without attention, which classifies by its global feature.
        score: "pc" or "dp", see :class:`SpatialAttention`.
        head: "concat": one linear layer on the attended vectors of all levels side by side.
            "indep": one linear layer for each level, and the mean of their probabilities.
        project: what is projected at levels where map and global feature differ in width.
        attend: whether a VGG's maps are those before or after the pooling that follows them.
        glimpse_size: height and width at which the network looks at the whole image, in pixels
            (one number: square). An image of this size is taken as it is, others are sampled. A
            VGG needs one; None means the image's own size, for residual networks.
        widths: channels of a VGG's six blocks.
        stem_pool: whether a ResNet keeps the max-pool of its stem.
        antialias: whether sampling averages the pixels between its samples, see
            :func:`mgnet_fast.glimpse`.
        mean: per channel, in units of [0, 1]; applied to uint8 images only.
        std: per channel, in units of [0, 1]; applied to uint8 images only.

    Raises:
        ValueError: a value is out of range, or lengths do not fit ``in_chans``.
        TypeError: a value has the wrong type.
    """

    num_classes: int = 100
    in_chans: int = 3
    levels: int = 3
    score: Score = "pc"
    head: Head = "concat"
    project: Projected = "local"
    attend: Attend = "before"
    glimpse_size: int | tuple[int, int] | None = None
    widths: tuple[int, ...] = VGG_WIDTHS
    stem_pool: bool = True
    antialias: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_chans"):
            require_positive_int(name, getattr(self, name))
        if not isinstance(self.levels, int) or isinstance(self.levels, bool) or self.levels < 0:
            raise ValueError(f"levels must be an int of at least 0, got {self.levels!r}")
        choices = {"score": Score, "head": Head, "project": Projected, "attend": Attend}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} must be one of {get_args(kind)}, got {getattr(self, name)!r}"
                )
        for name in ("stem_pool", "antialias"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool, got {getattr(self, name)!r}")
        self._set("glimpse_size", checked_size("glimpse_size", self.glimpse_size))
        self._set("widths", _checked_widths(self.widths))
        for name in ("mean", "std"):
            self._set(name, checked_channels(name, getattr(self, name), self.in_chans))
        if self.std is not None and min(self.std) <= 0.0:
            raise ValueError(f"std must be positive, got {self.std}")

    @property
    def num_glimpses(self) -> int:
        """One: the whole image."""
        return 1

    def glimpse_shape(self, image_size: int | tuple[int, int]) -> tuple[int, int]:
        """``glimpse_size``, or else the image's own size (one number: square)."""
        size = image_size if self.glimpse_size is None else self.glimpse_size
        return (size, size) if isinstance(size, int) else size

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def _checked_widths(widths: object) -> tuple[int, ...]:
    if isinstance(widths, str) or not isinstance(widths, Sequence):
        raise TypeError(f"widths must be {len(VGG_WIDTHS)} ints, got {widths!r}")
    if len(widths) != len(VGG_WIDTHS):
        raise ValueError(f"widths must be {len(VGG_WIDTHS)} ints, got {list(widths)}")
    for width in widths:
        require_positive_int("widths", width)
    return tuple(widths)
