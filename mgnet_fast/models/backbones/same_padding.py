"""Convolutions whose output has the size of the input, divided by the stride and rounded up."""

from __future__ import annotations

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["tensorflow", "symmetric"]
"""Where the zeros go. "tensorflow": as few as the last window needs, the odd one at the end.
"symmetric": half a kernel on each side, as PyTorch's networks have it. The two differ only where
the stride is 2 and the input even."""


class SameConv2d(nn.Conv2d):
    r"""A convolution with zero padding: [B, C, H, W] to [B, C', ceil(H / s), ceil(W / s)].

    With kernel k and stride s, TensorFlow pads a side of n pixels by

    .. math:: p = \max((\lceil n / s \rceil - 1) s + k - n, 0)

    zeros in all, :math:`\lfloor p / 2 \rfloor` of them before.

    Args:
        padding: see :data:`Padding`.

    Raises:
        ValueError: ``padding`` is unknown.
    """

    def __init__(
        self,
        in_width: int,
        out_width: int,
        kernel: int,
        stride: int = 1,
        *,
        padding: Padding = "tensorflow",
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        if padding not in get_args(Padding):
            raise ValueError(f"padding must be one of {get_args(Padding)}, got {padding!r}")
        # At stride 1 the two are the same, and PyTorch's own padding costs nothing.
        self.pads_itself = padding == "symmetric" or stride == 1
        super().__init__(
            in_width,
            out_width,
            kernel,
            stride,
            padding=kernel // 2 if self.pads_itself else 0,
            groups=groups,
            bias=bias,
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.pads_itself:
            rows, columns = (
                zeros_around(side, self.kernel_size[0], self.stride[0]) for side in x.shape[-2:]
            )
            x = F.pad(x, (*columns, *rows))
        return super().forward(x)


def zeros_around(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind a side of so many pixels, as TensorFlow puts them."""
    # The formula above without a division, which exporters of open sizes would have to carry along.
    total = kernel - 1 - (side - 1) % stride
    if kernel < stride:
        total = max(total, 0)
    return total // 2, total - total // 2
