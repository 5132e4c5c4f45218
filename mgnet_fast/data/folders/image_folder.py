"""Folders of images for training and evaluation, decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mgnet_fast.data.folders.image_transform import ImageTransform
from mgnet_fast.data.folders.image_tree import ImageTree
from mgnet_fast.data.labelled_images import Indices, LabelledImages
from mgnet_fast.data.reading.errors import large_images
from mgnet_fast.data.reading.options import ReadOptions
from mgnet_fast.data.reading.whole import read_picture

_SHOWN = 3
Unreadable = dict[str, str]  # name below the tree's root, and the reason


class UnreadableImagesError(ValueError):
    """More images are unreadable than may be skipped."""

    def __init__(self, root: Path, unreadable: Unreadable, most: int) -> None:
        names = list(unreadable)[:_SHOWN]
        shown = "; ".join(f"{root / name} ({unreadable[name]})" for name in names)
        more = f"; and {len(unreadable) - _SHOWN} more" if len(unreadable) > _SHOWN else ""
        super().__init__(
            f"at most {most} unreadable images may be skipped (max_unreadable), "
            f"got {len(unreadable)}: {shown}{more}"
        )


class FolderImages(LabelledImages):
    """The images of a tree, transformed for training or evaluation; a `LabelledImages`.

    Image i of epoch e depends only on ``(seed, e, i)``, not on the number of workers or
    processes. Batches are uint8 [n, C, S, S] in channels_last; the network normalises them while
    sampling.

    Args:
        tree: the images.
        transform: makes them S x S.
        training: whether to transform as in training or as in validation.
        channels: 3, or 1 for grey.
        seed: of order, crops, flips and augmentation.
        workers: number of decoding processes; 0 decodes in this process.
        max_unreadable: how many unreadable images may be skipped.
        pin_memory: put batches in page-locked memory, for copies to a GPU.
        ignore_exif: do not turn photographs as their EXIF orientation says.

    Attributes:
        unreadable: name and reason of the images skipped so far.

    Raises:
        ValueError: channels is neither 1 nor 3, or workers or max_unreadable is negative.
    """

    def __init__(
        self,
        tree: ImageTree,
        transform: ImageTransform,
        *,
        training: bool = False,
        channels: int = 3,
        seed: int = 0,
        workers: int = 0,
        max_unreadable: int = 0,
        pin_memory: bool = False,
        ignore_exif: bool = False,
    ) -> None:
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3 for folders of images, got {channels}")
        for name, value in (("workers", workers), ("max_unreadable", max_unreadable)):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        self.tree, self.transform, self.training = tree, transform, training
        self.channels, self.seed = channels, seed
        self.ignore_exif = ignore_exif
        self.workers, self.max_unreadable, self.pin_memory = workers, max_unreadable, pin_memory
        self.labels = torch.from_numpy(tree.labels)
        self.num_classes = len(tree.classes)
        self.unreadable: Unreadable = {}

    def __len__(self) -> int:
        return len(self.tree)

    def load(self, batches: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The images with these indices, batch by batch; unreadable images are missing.

        Raises:
            UnreadableImagesError: there are more than `max_unreadable` so far.
        """
        for batch in in_processes(_Decoder(self, batches, epoch), self.workers, self.pin_memory):
            self.unreadable |= batch.unreadable
            if len(self.unreadable) > self.max_unreadable:
                raise UnreadableImagesError(self.tree.root, self.unreadable, self.max_unreadable)
            yield batch.pixels.permute(0, 3, 1, 2), batch.labels

    def image(self, index: int, epoch: int = 0) -> Image.Image:
        """One image as transformed in this epoch.

        Raises:
            ValueError, OSError: it cannot be read.
        """
        # AutoAugment needs colours, so in training the conversion to grey comes last.
        channels = 3 if self.training else self.channels
        reading = ReadOptions(channels, self.ignore_exif)
        image = read_picture(self.tree.path(index), reading)
        if not self.training:
            return self.transform.validate(image)
        seen = self.transform.train(image, self.seed, epoch, index)
        return seen.convert("L") if self.channels == 1 else seen


@dataclass(frozen=True)
class _Batch:
    pixels: Tensor  # uint8 [n, S, S, C]
    labels: Tensor  # int64 [n]
    unreadable: Unreadable

    def pin_memory(self) -> _Batch:
        """Pin the memory; called by the DataLoader's thread."""
        return _Batch(self.pixels.pin_memory(), self.labels.pin_memory(), self.unreadable)


class _Decoder(Dataset[_Batch]):
    """Item k is batch k, so a worker sends a batch to the training process as one block."""

    def __init__(self, images: FolderImages, batches: Sequence[Indices], epoch: int) -> None:
        self.images, self.cut, self.epoch = images, batches, epoch

    def __len__(self) -> int:
        return len(self.cut)

    def __getitem__(self, number: int) -> _Batch:
        images, indices = self.images, self.cut[number]
        side = images.transform.image_size
        pixels = torch.empty((len(indices), side, side, images.channels), dtype=torch.uint8)
        kept: list[int] = []
        unreadable: Unreadable = {}
        with large_images():
            for index in indices.tolist():
                try:
                    seen = np.array(images.image(index, self.epoch))
                except (ValueError, OSError) as error:
                    reason = getattr(error, "strerror", None) or str(error)
                    unreadable[images.tree.name(index)] = reason
                    continue
                pixels[len(kept)] = torch.from_numpy(seen).view(side, side, images.channels)
                kept.append(index)
        labels = images.labels[torch.tensor(kept, dtype=torch.int64)]
        return _Batch(pixels[: len(kept)], labels, unreadable)


def in_processes(items: Dataset[Any], workers: int, pin_memory: bool = False) -> Iterator[Any]:
    """The items of a dataset in order, made by worker processes."""
    count = len(items)  # type: ignore[arg-type]
    return iter(
        DataLoader(
            items,
            batch_size=None,
            num_workers=min(workers, count),
            collate_fn=_as_it_is,
            pin_memory=pin_memory,
            # Its own generator: by default the loader draws from the global one, which training
            # needs unchanged.
            generator=torch.Generator(),
        )
    )


def _as_it_is(item: Any) -> Any:
    return item
