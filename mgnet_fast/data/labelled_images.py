"""The protocol of a labelled set of images, and how epochs are cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mgnet_fast.data.streams import Purpose, bit_stream, permutation

Indices = npt.NDArray[np.int64]


class LabelledImages(Protocol):
    """Images of one size with one class each, which may differ from epoch to epoch.

    Image i of epoch e depends only on ``(seed, e, i)``, not on batch size, order, number of
    processes or earlier loads.

    Attributes:
        seed: of the order of epochs and of random images.
        labels: int64 [N], each in 0..num_classes - 1.
        num_classes: K.
        channels: C.
    """

    seed: int
    labels: Tensor
    num_classes: int
    channels: int

    def __len__(self) -> int: ...

    def load(self, batches: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The images with these indices, batch by batch: (images [n, C, H, W], labels [n])."""
        ...

    def batches(
        self,
        batch_size: int,
        *,
        epoch: int = 0,
        shuffle: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of one epoch; see `epoch_batches` for the arguments.

        Raises:
            ValueError: batch_size < 1.
        """
        cut = epoch_batches(
            len(self),
            batch_size,
            seed=self.seed,
            epoch=epoch,
            shuffle=shuffle,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
        )
        return self.load(cut, epoch)


def epoch_batches(
    count: int,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = False,
    drop_last: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> list[Indices]:
    """The indices of each batch of one epoch.

    Args:
        count: number of images.
        batch_size: images per batch, over all processes.
        seed, epoch: determine the order.
        shuffle: a new random order in each epoch instead of 0..count-1.
        drop_last: leave out the last, smaller batch.
        rank: this process takes each batch's images rank, rank + world_size, ...
        world_size: number of processes.

    Returns:
        int64 indices in 0..count-1, one array per batch.

    Raises:
        ValueError: batch_size < 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order: Indices = np.arange(count)
    if shuffle:
        order = permutation(bit_stream(seed, Purpose.ORDER, epoch), count)
    stop = count - count % batch_size if drop_last else count
    return [
        order[start : min(start + batch_size, stop)][rank::world_size]
        for start in range(0, stop, batch_size)
    ]
