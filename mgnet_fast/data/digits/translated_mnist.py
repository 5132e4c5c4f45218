"""Translated MNIST: a digit at a random place in a larger, empty scene, made on the fly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mgnet_fast.data.digits.clutter import clutter, drawn_pieces
from mgnet_fast.data.digits.mnist import DIGIT_SIZE, NUM_CLASSES, Digits, load_mnist
from mgnet_fast.data.labelled_images import Indices, LabelledImages
from mgnet_fast.data.streams import Purpose, bit_stream, uniform

MNIST_MEAN = 0.1307
MNIST_STD = 0.3081
SCENE_SIZE = 112
NOISE_STD = 0.3
TEST_SEED = 10_000
_NOISE_TABLE = 1 << 22


def place(digits: npt.NDArray[np.uint8], top_left: npt.NDArray[np.int64], size: int) -> Tensor:
    """Paste each digit into an empty scene of its own.

    Args:
        digits: uint8 [N, h, w].
        top_left: int64 [N, 2], (row, column) of the digit's first pixel.
        size: side of the square scenes.

    Returns:
        uint8 Tensor[N, 1, size, size].
    """
    count, height, width = digits.shape
    scenes = np.zeros((count, 1, size, size), np.uint8)
    # All windows of all scenes as one view, so that one assignment pastes the whole batch.
    windows = np.lib.stride_tricks.as_strided(
        scenes,
        (count, size - height + 1, size - width + 1, height, width),
        (size * size, size, 1, size, 1),
    )
    windows[np.arange(count), top_left[:, 0], top_left[:, 1]] = digits
    return torch.from_numpy(scenes)


class TranslatedMNIST(LabelledImages):
    """Scenes with one digit each, by default of 28x28 pixels, offset from the centre by
    ``round(U(-42, 42))`` in both directions (for 112x112 scenes; in general ``U(-m, m)`` with
    m = (scene size - digit size)/2).

    Scene i of epoch e depends only on ``(seed, e, i)``, not on batch size, order, number of
    processes or earlier draws. A fixed test set is epoch 0 of its own seed.

    Without noise, scenes are uint8, and the model normalises them while sampling. With
    ``noise_std``, x in [0, 1] becomes ``x + noise_std * N(0, 1)``, clamped to the scene's range
    before noise, then normalised by mean 0.1307 and std 0.3081: float32.

    Smaller digits are the means of the pixels they cover. With ``clutter``, each scene also holds
    so many square pieces of other digits; where they overlap, the brightest pixel shows.

    Source: the paper's section on translated MNIST, and its Gaussian-noise variant. Clutter:
    Mnih et al., "Recurrent models of visual attention", 2014.

    Args:
        digits: images uint8 [N, 28, 28] and labels int64 [N].
        seed: any integer.
        noise_std: standard deviation of the noise in units of [0, 1]; 0 for none.
        scene_size: side of the scenes in pixels: that of a digit plus an even number.
        digit_size: side of a digit in pixels, at most 28.
        clutter: number of pieces of other digits in each scene.
        clutter_size: side of a piece in pixels, at most that of a digit.

    Raises:
        ValueError: an argument has the wrong shape, type or range.
    """

    num_classes = NUM_CLASSES
    channels = 1

    def __init__(
        self,
        digits: Digits,
        *,
        seed: int = 0,
        noise_std: float = 0.0,
        scene_size: int = SCENE_SIZE,
        digit_size: int = DIGIT_SIZE,
        clutter: int = 0,
        clutter_size: int = 8,
    ) -> None:
        images, labels = digits
        if images.dtype != torch.uint8 or images.shape[1:] != (DIGIT_SIZE, DIGIT_SIZE):
            raise ValueError(
                f"digits.images must be uint8 [N, {DIGIT_SIZE}, {DIGIT_SIZE}], "
                f"got {images.dtype} {list(images.shape)}"
            )
        if labels.shape != images.shape[:1]:
            raise ValueError(
                f"digits.labels must have shape [{len(images)}], got {list(labels.shape)}"
            )
        if not 0 <= noise_std < float("inf"):
            raise ValueError(f"noise_std must be at least 0 and finite, got {noise_std}")
        if not 1 <= digit_size <= DIGIT_SIZE:
            raise ValueError(f"digit_size must be in 1..{DIGIT_SIZE}, got {digit_size}")
        if scene_size < digit_size or (scene_size - digit_size) % 2:
            raise ValueError(
                f"scene_size must be {digit_size} plus an even number, got {scene_size}"
            )
        if clutter < 0:
            raise ValueError(f"clutter must be at least 0 pieces, got {clutter}")
        if not 1 <= clutter_size <= digit_size:
            raise ValueError(f"clutter_size must be in 1..{digit_size}, got {clutter_size}")
        self.labels = labels.long()
        self.seed = seed
        self.noise_std = noise_std
        self.scene_size = scene_size
        self.digit_size = digit_size
        self.clutter, self.clutter_size = clutter, clutter_size
        self._digits = _shrunk(images, digit_size).numpy()
        self._epoch: int | None = None
        self._top_left: npt.NDArray[np.int64] = np.zeros((0, 2), np.int64)
        self._pieces: npt.NDArray[np.float64] = np.zeros(0)
        self._noise: npt.NDArray[np.float32] = np.zeros(0, np.float32)
        self._noise_start: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def top_left(self, epoch: int = 0) -> npt.NDArray[np.int64]:
        """int64 [N, 2]: row and column of each digit's first pixel in this epoch."""
        self._draw(epoch)
        return self._top_left

    def scenes(self, indices: npt.NDArray[np.int64] | Tensor, epoch: int = 0) -> Tensor:
        """The scenes with these indices in this epoch, on the CPU.

        Args:
            indices: int64 [n], each in 0..N-1.
            epoch: 0 or more.

        Returns:
            Tensor[n, 1, S, S], uint8 in 0..255, or normalised float32 with noise.
        """
        chosen = np.asarray(indices)
        self._draw(epoch)
        scenes = place(self._digits[chosen], self._top_left[chosen], self.scene_size)
        if self.clutter:
            scenes = torch.maximum(scenes, self._clutter(chosen))
        return self._add_noise(scenes, chosen) if self.noise_std else scenes

    def masks(self, indices: npt.NDArray[np.int64] | Tensor, epoch: int = 0) -> Tensor:
        """Where these scenes show ink of their digit: bool [n, S, S]. Clutter does not count."""
        chosen = np.asarray(indices)
        self._draw(epoch)
        return place(self._digits[chosen], self._top_left[chosen], self.scene_size)[:, 0] > 0

    def load(self, batches: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches ``(scenes, labels)`` of the scenes with these indices in this epoch."""
        for indices in batches:
            yield self.scenes(indices, epoch), self.labels[torch.from_numpy(indices)]

    def _draw(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        margin = (self.scene_size - self.digit_size) // 2
        where = uniform(bit_stream(self.seed, Purpose.PLACE, epoch), 2 * len(self)).reshape(-1, 2)
        self._top_left = np.rint((2 * where - 1) * margin).astype(np.int64) + margin
        if self.clutter:
            self._pieces = drawn_pieces(len(self), self.clutter, self.seed, epoch)
        if self.noise_std:
            # Drawing 12,544 normals per scene would cost more than the training step. Each scene
            # instead reads a part of one table, new in each epoch, from its own start.
            bits = bit_stream(self.seed, Purpose.NOISE, epoch)
            table = np.random.Generator(bits).standard_normal(_NOISE_TABLE, dtype=np.float32)
            self._noise = table * np.float32(self.noise_std)
            starts = uniform(bit_stream(self.seed, Purpose.NOISE_START, epoch), len(self))
            self._noise_start = (starts * (_NOISE_TABLE - self.scene_size**2)).astype(np.int64)
        self._epoch = epoch

    def _clutter(self, chosen: npt.NDArray[np.int64]) -> Tensor:
        drawn = self._pieces[chosen]
        pieces = clutter(self._digits, drawn, self.scene_size, self.clutter_size)
        return torch.from_numpy(pieces)[:, None]

    def _add_noise(self, scenes: Tensor, chosen: npt.NDArray[np.int64]) -> Tensor:
        count = scenes[0].numel() if len(scenes) else 0
        stretches = np.lib.stride_tricks.sliding_window_view(self._noise, max(count, 1))
        noise = torch.from_numpy(stretches[self._noise_start[chosen]])
        clean = scenes.float().div_(255.0)
        low, high = clean.amin((1, 2, 3), keepdim=True), clean.amax((1, 2, 3), keepdim=True)
        noisy = clean.add_(noise.view_as(clean)).clamp_(low, high)
        return noisy.sub_(MNIST_MEAN).div_(MNIST_STD)


def _shrunk(images: Tensor, side: int) -> Tensor:
    """uint8 [N, side, side]: means over the pixels that each pixel covers."""
    if side == DIGIT_SIZE:
        return images
    small = torch.nn.functional.interpolate(images[:, None].float(), (side, side), mode="area")
    return small[:, 0].round().to(torch.uint8)


def load_translated_mnist(
    data_dir: str | Path, split: str, *, seed: int | None = None, **options: Any
) -> TranslatedMNIST:
    """Translated MNIST from a folder of MNIST's IDX files.

    Args:
        data_dir: the folder, see `find_mnist`.
        split: "train" or "test".
        seed: default 0 for "train"; for "test" the seed of the fixed test set.
        **options: noise, sizes and clutter, see `TranslatedMNIST`.

    Raises:
        ValueError: files missing or damaged, or an argument out of range.
    """
    if seed is None:
        seed = TEST_SEED if split == "test" else 0
    return TranslatedMNIST(load_mnist(data_dir, split), seed=seed, **options)
