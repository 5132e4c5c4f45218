"""A VGG for small images whose first blocks keep the full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = (2, 2, 3, 3, 3, 2)
"""Convolutions of each block."""
HALVINGS = 5
"""How often an image is halved on its way to the features."""


class VGG(nn.Module):
    r"""Six blocks of 3x3 convolutions, each with batch norm and ReLU, then one convolution.

    An image of H x W pixels passes blocks 1 to 3 at its own size, block 4 at a half, block 5 at a
    quarter and block 6 at an eighth; each of the two convolutions of block 6 is followed by a
    further 2x2 max-pool. A last convolution covers what is left,
    :math:`\lfloor H/32 \rfloor \times \lfloor W/32 \rfloor` positions.

    Shapes: [B, C, H, W] of one size with H, W >= 32 to [B, num_features].

    Args:
        in_chans: C.
        image_size: (H, W), which the last convolution depends on.
        widths: channels of the six blocks.
        maps_after_pooling: whether :meth:`maps` gives the maps of blocks 3, 4 and 5 after the
            2x2 max-pool that follows each of them, instead of before it.

    Attributes:
        num_features: channels of block 6 and of the last convolution.
        map_dims: channels of the maps.

    Raises:
        ValueError: there are not six widths, or an image of this size cannot be halved five times.

    Source: Jetley et al., "Learn to pay attention", 2018 (arXiv 1804.02391), section 4.
    """

    block1: nn.Sequential
    block2: nn.Sequential
    block3: nn.Sequential
    block4: nn.Sequential
    block5: nn.Sequential
    block6: nn.Sequential

    def __init__(
        self,
        in_chans: int,
        image_size: tuple[int, int],
        widths: Sequence[int] = (64, 128, 256, 512, 512, 512),
        *,
        maps_after_pooling: bool = False,
    ) -> None:
        super().__init__()
        if len(widths) != len(CONVOLUTIONS):
            raise ValueError(f"widths must be {len(CONVOLUTIONS)} numbers, got {list(widths)}")
        height, width = image_size
        left = height >> HALVINGS, width >> HALVINGS
        if min(left) < 1:
            raise ValueError(
                f"glimpse_size must be at least {1 << HALVINGS} pixels each way for a VGG, which "
                f"halves it {HALVINGS} times, got {height} x {width}"
            )
        self.image_size = height, width
        self.maps_after_pooling = maps_after_pooling
        self.map_dims: tuple[int, ...] = tuple(widths[2:5])
        self.num_features: int = widths[-1]
        before = (in_chans, *widths[:-1])
        for block, (count, inner, outer) in enumerate(
            zip(CONVOLUTIONS, before, widths, strict=True), start=1
        ):
            is_last = block == len(CONVOLUTIONS)
            setattr(self, f"block{block}", _block(count, inner, outer, pools=is_last))
        self.last = nn.Conv2d(widths[-1], widths[-1], left)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The features [B, num_features] of images [B, C, H, W]."""
        return self.maps(x)[1]

    def maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps [B, ``map_dims``, h, w] of blocks 3, 4 and 5, and the features.

        Raises:
            ValueError: the images are not of the size that the network was made for.
        """
        if x.shape[-2:] != self.image_size:
            wanted, got = (" x ".join(map(str, size)) for size in (self.image_size, x.shape[-2:]))
            raise ValueError(
                f"images must have {wanted} pixels, which this VGG was made for, got {got}"
            )
        x = self.block2(self.block1(x))
        found = []
        for block in (self.block3, self.block4, self.block5):
            x = block(x)
            pooled = F.max_pool2d(x, 2)
            found.append(pooled if self.maps_after_pooling else x)
            x = pooled
        return found, torch.flatten(self.last(self.block6(x)), 1)


def _block(count: int, in_width: int, width: int, *, pools: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for at in range(count):
        layers += [
            nn.Conv2d(in_width if at == 0 else width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        if pools:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
