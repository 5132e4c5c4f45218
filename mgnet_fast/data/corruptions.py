"""The 15 common image corruptions, by the library imagecorruptions, reproducible."""

from __future__ import annotations

import functools
import importlib
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .labelled_images import Indices, LabelledImages

KINDS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
CORRUPTIONS = tuple(name for names in KINDS.values() for name in names)
SEVERITIES = (1, 2, 3, 4, 5)
SMALLEST_SIDE = 32
INSTALL_HINT = "pip install 'mgnet-fast[corruptions]'"
# these take a seed instead of numpy's global state
_SEEDED_BY_ARGUMENT = ("impulse_noise", "glass_blur")


def check_corruption(name: str, severity: int) -> None:
    """Raise ValueError unless ``name`` and ``severity`` are one of the 15 at severity 1 to 5."""
    if name not in CORRUPTIONS:
        raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, got {name!r}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, got {severity!r}")


@functools.cache
def library() -> Any:
    """The module ``imagecorruptions``.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module("imagecorruptions")
    except ImportError as error:
        raise ImportError(f"corruptions need imagecorruptions-imaug: {INSTALL_HINT}") from error


def corrupted(image: Tensor, name: str, severity: int, seed: int = 0) -> Tensor:
    """``image`` with one of the 15 common corruptions.

    Args:
        image (Tensor[C, H, W]): uint8, one or three channels, at least 32 pixels a side. A grey
            image is corrupted as three equal channels; the result is their mean.
        name: see ``CORRUPTIONS``.
        severity: 1 to 5.
        seed: of the random part. The result depends only on the arguments, and numpy's global
            state is not changed.

    Returns:
        uint8 of the shape of ``image``.

    Raises:
        ValueError: an argument does not fit.
        ImportError: the library is not installed.

    Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions
    and perturbations", 2019.
    """
    check_corruption(name, severity)
    if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(
            f"image must be uint8 [1 or 3, H, W], got {image.dtype} {list(image.shape)}"
        )
    if min(image.shape[1:]) < SMALLEST_SIDE:
        raise ValueError(
            f"image must have at least {SMALLEST_SIDE} pixels a side, got {list(image.shape[1:])}"
        )
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    number = zlib.crc32(f"{name} {severity} {seed}".encode())
    chosen = {"seed": number} if name in _SEEDED_BY_ARGUMENT else {}
    with _numpy_seeded(number):
        result = library().corrupt(pixels, severity, name, **chosen)
    if image.shape[0] == 1:
        result = np.rint(result.mean(axis=2, keepdims=True)).astype(np.uint8)
    return torch.from_numpy(np.array(result)).permute(2, 0, 1)


@contextmanager
def _numpy_seeded(number: int) -> Iterator[None]:
    """Seed numpy's global state, which the library draws from, and restore it afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(number)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class CorruptedImages(LabelledImages):
    """``images`` with one corruption at one severity; see :class:`LabelledImages`.

    Image i uses seed i, so all networks get the same corrupted images.

    Raises:
        ValueError: the corruption or severity is unknown; or, when loading, images are not uint8
            (scenes with noise are normalised already).
        ImportError: the library is not installed.
    """

    def __init__(self, images: LabelledImages, name: str, severity: int) -> None:
        check_corruption(name, severity)
        library()
        self.images, self.name, self.severity = images, name, severity
        self.seed, self.labels = images.seed, images.labels
        self.num_classes, self.channels = images.num_classes, images.channels

    def __len__(self) -> int:
        return len(self.images)

    def load(self, batches: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        loaded = self.images.load(batches, epoch)
        for indices, (pixels, labels) in zip(batches, loaded, strict=True):
            yield self._corrupted(pixels, indices), labels

    def _corrupted(self, pixels: Tensor, indices: npt.NDArray[np.int64]) -> Tensor:
        if len(pixels) != len(indices):
            raise ValueError(
                f"images must all be readable to be corrupted, got {len(indices) - len(pixels)} of "
                f"{len(indices)} unreadable"
            )
        rows = [
            corrupted(image, self.name, self.severity, seed)
            for image, seed in zip(pixels, indices.tolist(), strict=True)
        ]
        return torch.stack(rows) if rows else pixels
