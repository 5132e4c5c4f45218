"""Checks of image batches."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from ...ops.arguments import IMAGE_DTYPES, dtype_names


def check_batch(images: Tensor, channels: int) -> None:
    """Raise unless ``images`` is a batch [B, C, H, W] with that many channels."""
    if images.dim() != 4 or images.shape[1] != channels or 0 in images.shape[2:]:
        raise ValueError(
            f"images must have shape [B, {channels}, H, W] with no empty H or W, "
            f"got {list(images.shape)}"
        )
    if images.dtype not in IMAGE_DTYPES:
        raise TypeError(f"images must have dtype {dtype_names(IMAGE_DTYPES)}, got {images.dtype}")


def calibration_batches(calibration: object, channels: int) -> tuple[Tensor, ...]:
    """``calibration`` as a list, read once and checked.

    Args:
        calibration: an iterable of image batches [B, C, H, W], or one such batch.
        channels: C.

    Raises:
        TypeError, ValueError: it is something else, or holds no images, or images that are not
            finite.
    """
    if isinstance(calibration, Tensor):
        calibration = (calibration,)
    if not isinstance(calibration, Iterable):
        raise TypeError(
            "calibration must be an iterable of image batches [B, C, H, W], "
            f"got {type(calibration).__name__}"
        )
    batches = []
    for number, batch in enumerate(calibration):
        if not isinstance(batch, Tensor):
            raise TypeError(
                f"calibration must give Tensors [B, {channels}, H, W], "
                f"got {type(batch).__name__} as batch {number}"
            )
        try:
            check_batch(batch, channels)
        except (TypeError, ValueError) as error:
            raise type(error)(f"calibration, batch {number}: {error}") from None
        if batch.is_floating_point() and not bool(batch.isfinite().all()):
            raise ValueError(f"calibration must be finite, got NaN or infinity in batch {number}")
        if len(batch):
            batches.append(batch.detach())
    if not batches:
        raise ValueError("calibration must hold at least one image, got none")
    return tuple(batches)
