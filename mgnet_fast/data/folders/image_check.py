"""Decodes every image once, to find damaged ones before a long run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Dataset

from mgnet_fast.data.folders.image_folder import Unreadable, in_processes
from mgnet_fast.data.folders.image_tree import ImageTree
from mgnet_fast.data.labelled_images import Indices
from mgnet_fast.data.reading.errors import large_images
from mgnet_fast.data.reading.whole import check_image

_AT_A_TIME = 32


def check_images(
    tree: ImageTree, *, workers: int = 0, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[int, Unreadable]]:
    """Decode this process's share of the images.

    Args:
        tree: the images.
        workers: number of decoding processes.
        rank, world_size: this process decodes images rank, rank + world_size, ...

    Yields:
        The number of further images tried, and those of them that are unreadable.
    """
    mine = np.arange(rank, len(tree), world_size)
    parts = [mine[start : start + _AT_A_TIME] for start in range(0, len(mine), _AT_A_TIME)]
    yield from in_processes(_Checker(tree, parts), workers)


class _Checker(Dataset[tuple[int, Unreadable]]):
    def __init__(self, tree: ImageTree, parts: list[Indices]) -> None:
        self.tree, self.parts = tree, parts

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, number: int) -> tuple[int, Unreadable]:
        found: Unreadable = {}
        with large_images():
            for index in self.parts[number].tolist():
                try:
                    check_image(self.tree.path(index))
                except (ValueError, OSError) as error:
                    reason = getattr(error, "strerror", None) or str(error)
                    found[self.tree.name(index)] = reason
        return len(self.parts[number]), found
