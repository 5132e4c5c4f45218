"""Winograd's algorithm for 3 x 3 convolutions: when it pays, and the weights for it.

F(m x m, 3 x 3) computes tiles of m x m outputs with (m + 2)^2 products a channel instead of 9 m^2:
2.25 times fewer for m = 2, four times fewer for m = 4. Its weights are (m + 2)^2 / 9 times as
large, so maps of few pixels, which use them only once or twice, are better off without.
A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308; the error
depends on the points: B. Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd
Convolution for Deep Neural Networks", arXiv 1803.10986.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Where the polynomials of an axis are evaluated, beside infinity; as in
# csrc/cpu/convolution/winograd.h.
_POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.75, -0.75, 1.5, -1.5)}
# The storage of transformed weights, by that of the others and m. In 16 bits m = 4 would lose a
# decimal digit more than m = 2; where it pays, maps are large and the weights few enough to stay in
# 32 bits. In 8 bits both would lose too much.
_STORAGES = {
    "fp32": {2: "fp32", 4: "fp32"},
    "fp16": {2: "fp16", 4: "fp32"},
    "int8": {4: "fp32"},
}
_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}
# Time, in multiply-adds of a channel with an output, of bringing a byte of weights from memory, and
# a channel of a position into or out of the transform: between those with AVX2 and with AVX-512.
_PRODUCTS_PER_BYTE = 3.0
_PRODUCTS_PER_TRANSFORM = 20.0


def tile_for(
    channels: int, outputs: int, size: tuple[int, int], padding: tuple[int, ...], storage: str
) -> int:
    """The fastest m for a 3 x 3 convolution of stride 1 on one map, or 0 for plain sums.

    The choice depends on nothing else, above all not on the number of maps or the processor, so the
    same image gets the same bits.

    Args:
        channels, outputs: of the convolution.
        size: height and width of the map, in pixels.
        padding: rows and columns on each side.
        storage: of the weights.
    """
    each = channels * outputs
    out = [n + 2 * p - 2 for n, p in zip(size, padding, strict=True)]
    seen = [_products(n, p, count) for n, p, count in zip(size, padding, out, strict=True)]
    reading = _PRODUCTS_PER_BYTE * each
    cost = {0: seen[0] * seen[1] * each + 9 * reading * _BYTES[storage]}
    for m, transformed_storage in _STORAGES[storage].items():
        positions, tiles = (m + 2) ** 2, -(-out[0] // m) * -(-out[1] // m)
        transforms = _PRODUCTS_PER_TRANSFORM * (channels + outputs)
        per_position = tiles * (each + transforms) + reading * _BYTES[transformed_storage]
        cost[m] = positions * per_position
    return min(cost, key=lambda m: cost[m])


def storage_for(m: int, storage: str) -> str:
    """How the transformed weights are stored where the others are stored in ``storage``."""
    return _STORAGES[storage][m]


def transformed(weight: Tensor, m: int) -> Tensor:
    """float64 [O, I, m + 2, m + 2]: ``G weight G^T`` of float64 [O, I, 3, 3] weights.

    Row i of G is (1, p_i, p_i^2) / N_i for the point p_i, where N_i is the product of p_i - p_j
    over all other points p_j, and (0, 0, 1) for infinity.
    """
    points = torch.tensor(_POINTS[m], dtype=torch.float64)
    apart = points[:, None] - points + torch.eye(len(points), dtype=torch.float64)
    rows = points[:, None] ** torch.arange(3) / apart.prod(dim=1, keepdim=True)
    last = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    g = torch.cat([rows, last])
    return g @ weight @ g.T


def _products(size: int, padding: int, outputs: int) -> int:
    """Along one axis: how many of the products are with pixels, not with padding."""
    return sum(
        0 <= output - padding + position < size
        for output in range(outputs)
        for position in range(3)
    )
