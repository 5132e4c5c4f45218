"""The shapes of the glimpse benchmarks, and the goals set for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

WHOLE, SMALL = "s = 1", "s in .2...5"


@dataclass(frozen=True)
class Case:
    """A shape and a kind of region; ``forward`` and ``backward`` are the goals against eager."""

    shape: tuple[int, int, int, int]
    size: int
    regions: str
    forward: float
    backward: float | None
    layout: torch.memory_format = torch.contiguous_format

    @property
    def name(self) -> str:
        shape = ",".join(str(side) for side in self.shape)
        layout = ", channels_last" if self.layout == torch.channels_last else ""
        return f"({shape}) -> {self.size}, {self.regions}{layout}"

    def image(self, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        if dtype == torch.uint8:
            return torch.randint(0, 256, self.shape, generator=generator, dtype=dtype)
        image = torch.randn(self.shape, generator=generator, dtype=dtype)
        return image.contiguous(memory_format=self.layout)

    def region(self) -> Tensor:
        """[B, 3]: the whole image, or regions such as the localization network chooses."""
        count = self.shape[0]
        if self.regions == WHOLE:
            return torch.tensor([[1.0, 0.0, 0.0]]).repeat(count, 1)
        generator = torch.Generator().manual_seed(1)
        scale = torch.rand(count, 1, generator=generator) * 0.3 + 0.2
        centre = (torch.rand(count, 2, generator=generator) * 2 - 1) * (1 - scale)
        return torch.cat([scale, centre], dim=1)


CASES = (
    Case((1, 3, 224, 224), 96, WHOLE, 10, 4),
    Case((1, 3, 224, 224), 96, SMALL, 11, 5),
    Case((32, 3, 224, 224), 96, WHOLE, 4, 2.5),
    Case((32, 3, 224, 224), 96, SMALL, 9, 4.5),
    Case((256, 1, 112, 112), 28, WHOLE, 12, 5.5),
    Case((256, 1, 112, 112), 28, SMALL, 15, 6.5),
    Case((8, 3, 1024, 1024), 96, WHOLE, 1.8, 2.5),
    Case((8, 3, 1024, 1024), 96, SMALL, 5, 5.5),
    Case((1, 3, 4000, 3000), 96, WHOLE, 5, None),
    Case((1, 3, 4000, 3000), 96, SMALL, 5, None),
    # The layout OpenCV works in, where a pixel is one piece of memory instead of three:
    Case((1, 3, 4000, 3000), 96, WHOLE, 5, None, torch.channels_last),
    Case((1, 3, 4000, 3000), 96, SMALL, 5, None, torch.channels_last),
)
