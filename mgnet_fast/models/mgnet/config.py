"""The config of a Multi-Glimpse Network: frozen and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..config_checks import checked_channels, checked_number, checked_size, require_positive_int
from ..stored_config import StoredConfig

GlimpseLoss = Literal["reference", "paper"]


@dataclass(frozen=True)
class MGNetConfig(StoredConfig):
    """All numbers that define an MGNet apart from its backbone.

    Attributes:
        num_classes: K, number of classes.
        in_chans: C, channels of the images.
        num_glimpses: T, number of glimpses per image. ``T = 1`` sets ``alpha`` to 0: with one
            glimpse there is no glimpse loss and no glimpse head.
        glimpse_size: height and width of a glimpse in pixels (one number: square). ``None``
            means ``int(H // down_factor)`` square if ``down_factor`` is given, else the image's
            own size.
        scale_range: (s_min, s_max), the range of learned scales (1 is the whole image).
        gradient_scale: s of equation 5, factor on the gradient into the localization fc.
        alpha: weight of the glimpse loss (equation 8); the glimpse head exists if it is
            positive and ``num_glimpses >= 2``.
        stem_pool: whether a ResNet given by name keeps the max-pool of its stem.
        glimpse_loss: ``"reference"``: the glimpse head classifies glimpses 2..T, as in the
            published code; ``"paper"``: glimpses 1..T, as in equation 8.
        mean: per channel, in units of [0, 1]; applied to uint8 images only.
        std: per channel, in units of [0, 1]; applied to uint8 images only.
        down_factor: M of the paper: the glimpse size follows from the image's height. A
            ``glimpse_size`` is exact (``int(224 // (7 / 3))`` is 95, not 96).
        antialias: whether glimpses average the pixels between their samples, see
            :func:`mgnet_fast.glimpse`. Published networks do not. It is stored with the weights:
            a network must look as it did in training.

    Raises:
        ValueError: a value is out of range, or lengths do not fit ``in_chans``.
        TypeError: a value has the wrong type.
    """

    num_classes: int = 1000
    in_chans: int = 3
    num_glimpses: int = 4
    glimpse_size: int | tuple[int, int] | None = 96
    scale_range: tuple[float, float] = (0.2, 0.5)
    gradient_scale: float = 0.02
    alpha: float = 0.6
    stem_pool: bool = True
    glimpse_loss: GlimpseLoss = "reference"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    down_factor: float | None = None
    antialias: bool = False

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_chans", "num_glimpses"):
            require_positive_int(name, getattr(self, name))
        self._set("glimpse_size", checked_size("glimpse_size", self.glimpse_size))
        self._set("scale_range", _checked_scale_range(self.scale_range))
        self._set("gradient_scale", checked_number("gradient_scale", self.gradient_scale))
        self._set("alpha", checked_number("alpha", self.alpha))
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1], got {self.alpha}")
        if self.num_glimpses == 1:
            self._set("alpha", 0.0)
        for name in ("stem_pool", "antialias"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be a bool, got {getattr(self, name)!r}")
        if self.glimpse_loss not in get_args(GlimpseLoss):
            raise ValueError(
                f"glimpse_loss must be one of {get_args(GlimpseLoss)}, got {self.glimpse_loss!r}"
            )
        for name in ("mean", "std"):
            self._set(name, checked_channels(name, getattr(self, name), self.in_chans))
        if self.std is not None and min(self.std) <= 0.0:
            raise ValueError(f"std must be positive, got {self.std}")
        self._check_down_factor()

    @property
    def has_glimpse_head(self) -> bool:
        """Whether the network classifies single glimpses in training."""
        return self.alpha > 0.0 and self.num_glimpses >= 2

    def glimpse_shape(self, image_size: int | tuple[int, int]) -> tuple[int, int]:
        """Height and width of a glimpse of an image of ``image_size`` (one number: square).

        Raises:
            ValueError: ``down_factor`` leaves no pixel of an image this small.
        """
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        if isinstance(self.glimpse_size, int):
            return self.glimpse_size, self.glimpse_size
        if self.glimpse_size is not None:
            return self.glimpse_size
        if self.down_factor is None:
            return height, width
        side = int(height // self.down_factor)
        if side < 1:
            raise ValueError(
                f"image height must be at least down_factor = {self.down_factor}, got {height}"
            )
        return side, side

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_down_factor(self) -> None:
        if self.down_factor is None:
            return
        self._set("down_factor", checked_number("down_factor", self.down_factor))
        if self.down_factor <= 0.0:
            raise ValueError(f"down_factor must be positive, got {self.down_factor}")
        if self.glimpse_size is not None:
            raise ValueError(
                "give glimpse_size or down_factor, not both, "
                f"got {self.glimpse_size} and {self.down_factor}"
            )


def _checked_scale_range(value: object) -> tuple[float, float]:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise TypeError(f"scale_range must be two numbers (s_min, s_max), got {value!r}")
    low, high = (checked_number("scale_range", number) for number in value)
    if not 0.0 < low <= high <= 1.0:
        raise ValueError(f"scale_range must satisfy 0 < s_min <= s_max <= 1, got ({low}, {high})")
    return low, high
