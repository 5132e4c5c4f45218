"""The first images of a set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from .labelled_images import Indices, LabelledImages


class FirstImages(LabelledImages):
    """Images 0..count - 1 of ``images``; see :class:`LabelledImages`.

    Raises:
        ValueError: there are fewer.
    """

    def __init__(self, images: LabelledImages, count: int) -> None:
        if not 1 <= count <= len(images):
            raise ValueError(
                f"count must be in 1..{len(images)}, the number of images, got {count}"
            )
        self.images, self.count = images, count
        self.seed, self.labels = images.seed, images.labels[:count]
        self.num_classes, self.channels = images.num_classes, images.channels

    def __len__(self) -> int:
        return self.count

    def load(self, batches: Sequence[Indices], epoch: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        return self.images.load(batches, epoch)
