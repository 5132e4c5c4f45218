"""Checks of single values that configs of several families have."""

from __future__ import annotations

import math
from collections.abc import Sequence


def require_positive_int(name: str, value: object) -> None:
    """Raises TypeError or ValueError unless ``value`` is an int of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def checked_number(name: str, value: object) -> float:
    """``value`` as a float.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not finite.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def checked_size(name: str, size: object) -> int | tuple[int, int] | None:
    """``size`` in pixels: one int for a square, (height, width), or None.

    Raises:
        TypeError: it is none of these.
        ValueError: a side is below 1, or there are not two sides.
    """
    if size is None:
        return None
    if isinstance(size, Sequence) and not isinstance(size, str):
        if len(size) != 2:
            raise ValueError(f"{name} must be one int or (height, width), got {size!r}")
        for side in size:
            require_positive_int(name, side)
        return size[0], size[1]
    require_positive_int(name, size)
    return size  # type: ignore[return-value]


def checked_channels(name: str, value: object, in_chans: int) -> tuple[float, ...] | None:
    """One number for each of ``in_chans`` channels, or None.

    Raises:
        TypeError: ``value`` is not a sequence of numbers.
        ValueError: it has another length.
    """
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a sequence of {in_chans} numbers, got {value!r}")
    if len(value) != in_chans:
        raise ValueError(
            f"{name} must have one number for each of in_chans = {in_chans} channels, "
            f"got {len(value)}"
        )
    return tuple(checked_number(name, number) for number in value)
