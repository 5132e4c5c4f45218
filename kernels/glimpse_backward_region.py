"""The gradient of a glimpse with respect to its region: partial sums per tile, then their sum.

Two launches without atomics; no gradients of single samples are stored. The order of every sum is
fixed, so the bits are the same in every run.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import launching
from .axis import (
    four_pixels,
    picked_image,
    read_region,
    sample_axis,
    tile_samples,
    weights_inside,
)
from .tiles import Tiling

SUMS = 4  # sums per tile: d / d scale_x, d / d scale_y, d / d x, d / d y, in float64


@triton.jit(do_not_specialize=launching.UNSPECIALIZED)
def region_sums_kernel(
    grad, image, regions, index, pool, normalization, sums,
    images, elements, channels, image_height, image_width, height, width,
    tiles, tiles_across, groups,
    image_stride_n, image_stride_c, image_stride_h, image_stride_w,
    region_stride_n, region_stride_k, index_stride,
    grad_stride_n, grad_stride_c, grad_stride_h, grad_stride_w,
    NUMBERS: tl.constexpr, ALIGN: tl.constexpr, BORDER: tl.constexpr, CLAMP: tl.constexpr,
    OFFSET: tl.constexpr, REAL: tl.constexpr,
    INTERLEAVED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """One program: one tile of one glimpse. Its four sums are adjacent."""
    program = tl.program_id(0)
    tile = program % tiles
    group = (program // tiles) % groups
    n = (program // (tiles * groups)).to(tl.int64)
    scale_x, scale_y, x, y, usable = read_region(
        regions, n, region_stride_n, region_stride_k, NUMBERS
    )
    (
        start, image_height, image_width, image_stride_c, image_stride_h, image_stride_w, usable
    ) = picked_image(
        n, usable, index, index_stride, pool, images, elements, channels, image_height,
        image_width, image_stride_n, image_stride_c, image_stride_h, image_stride_w, OFFSET,
    )  # fmt: skip
    row, lane, column = tile_samples(tile, tiles_across, channels, INTERLEAVED, ROWS, LANES)
    by_scale_y, pixel_y, cell_y, fraction_y = sample_axis(
        row, height, scale_y, y, image_height, ALIGN, BORDER, CLAMP, REAL
    )
    by_scale_x, pixel_x, cell_x, fraction_x = sample_axis(
        column, width, scale_x, x, image_width, ALIGN, BORDER, CLAMP, REAL
    )
    # All pixels of an unusable image count as outside.
    upper, lower, upper_inside, lower_inside = weights_inside(
        cell_y, fraction_y, tl.where(usable, image_height, 0)
    )
    left, right, left_inside, right_inside = weights_inside(cell_x, fraction_x, image_width)

    row_read = row < height
    column_read = column < width
    read = row_read[:, None] & column_read[None, :]
    if normalization is not None:
        # d (sum of the weights inside) / d pixel; not 0 at the edges of the image
        weight_y, weight_x = (upper + lower)[:, None], (left + right)[None, :]
        slope_y = (lower_inside.to(REAL) - upper_inside.to(REAL))[:, None]
        slope_x = (right_inside.to(REAL) - left_inside.to(REAL))[None, :]
    upper_inside = (upper_inside & row_read)[:, None]
    lower_inside = (lower_inside & row_read)[:, None]
    left_inside = (left_inside & column_read)[None, :]
    right_inside = (right_inside & column_read)[None, :]
    upper, lower = upper[:, None], lower[:, None]
    left, right = left[None, :], right[None, :]

    from_row = (cell_y.to(OFFSET) * image_stride_h)[:, None]
    grad_row = (row.to(OFFSET) * grad_stride_h)[:, None]
    from_column = cell_x.to(OFFSET) * image_stride_w
    grad_column = column.to(OFFSET) * grad_stride_w
    source = image + start
    incoming = grad + n * grad_stride_n
    if INTERLEAVED:
        from_column += (lane % channels).to(OFFSET) * image_stride_c
        grad_column += (lane % channels).to(OFFSET) * grad_stride_c

    along_x = tl.zeros([ROWS, LANES], REAL)
    along_y = tl.zeros([ROWS, LANES], REAL)
    for step in tl.static_range(STEPS):
        if INTERLEAVED:
            channel = lane % channels
        else:
            channel = group * STEPS + step
            source = image + (start + channel.to(tl.int64) * image_stride_c)
            incoming = grad + (n * grad_stride_n + channel.to(tl.int64) * grad_stride_c)
        at = source + (from_row + from_column[None, :])
        a, b, c, d = four_pixels(
            at, image_stride_h, image_stride_w, upper_inside, lower_inside, left_inside,
            right_inside, REAL,
        )  # fmt: skip
        g = tl.load(incoming + (grad_row + grad_column[None, :]), mask=read, other=0)
        if g.dtype == tl.bfloat16:
            g = g.to(tl.float32)
        g = g.to(REAL)
        slope_along_x = upper * (b - a) + lower * (d - c)
        slope_along_y = left * (c - a) + right * (d - b)
        if normalization is not None:
            scales = tl.load(normalization + channel).to(REAL)
            biases = tl.load(normalization + channels + channel).to(REAL)
            slope_along_x = slope_along_x * scales + (weight_y * slope_x) * biases
            slope_along_y = slope_along_y * scales + (slope_y * weight_x) * biases
        along_x += g * slope_along_x
        along_y += g * slope_along_y

    of_columns = tl.sum(along_x, axis=0).to(tl.float64)
    of_rows = tl.sum(along_y, axis=1).to(tl.float64)
    if BORDER:  # as in PyTorch, samples moved or touched by the border have derivative 0
        of_columns = tl.where((pixel_x > 0) & (pixel_x < image_width - 1), of_columns, 0.0)
        of_rows = tl.where((pixel_y > 0) & (pixel_y < image_height - 1), of_rows, 0.0)
    # pixels per unit of position
    if ALIGN:
        of_columns *= 0.5 * (image_width - 1).to(tl.float64)
        of_rows *= 0.5 * (image_height - 1).to(tl.float64)
    else:
        of_columns *= 0.5 * image_width.to(tl.float64)
        of_rows *= 0.5 * image_height.to(tl.float64)
    to = sums + program.to(tl.int64) * 4
    nan = float("nan")
    tl.store(to, tl.where(usable, tl.sum(of_columns * by_scale_x), nan))
    tl.store(to + 1, tl.where(usable, tl.sum(of_rows * by_scale_y), nan))
    tl.store(to + 2, tl.where(usable, tl.sum(of_columns), nan))
    tl.store(to + 3, tl.where(usable, tl.sum(of_rows), nan))


@triton.jit
def sum_of_partials(sums, n, partials: tl.constexpr, BLOCK: tl.constexpr):
    """The four sums of glimpse n over its tiles, in fixed order."""
    scale_x = tl.zeros([BLOCK], tl.float64)
    scale_y = tl.zeros([BLOCK], tl.float64)
    x = tl.zeros([BLOCK], tl.float64)
    y = tl.zeros([BLOCK], tl.float64)
    for first in range(0, partials, BLOCK):
        k = first + tl.arange(0, BLOCK)
        row = sums + (n * partials + k) * 4
        scale_x += tl.load(row, mask=k < partials, other=0)
        scale_y += tl.load(row + 1, mask=k < partials, other=0)
        x += tl.load(row + 2, mask=k < partials, other=0)
        y += tl.load(row + 3, mask=k < partials, other=0)
    return tl.sum(scale_x), tl.sum(scale_y), tl.sum(x), tl.sum(y)


@triton.jit
def region_gradient_kernel(
    sums, gradient, PARTIALS: tl.constexpr, NUMBERS: tl.constexpr, BLOCK: tl.constexpr
):
    """One program: one region. The gradient is contiguous."""
    n = tl.program_id(0).to(tl.int64)
    scale_x, scale_y, x, y = sum_of_partials(sums, n, PARTIALS, BLOCK)
    dtype: tl.constexpr = gradient.dtype.element_ty
    to = gradient + n * NUMBERS
    if NUMBERS == 3:
        tl.store(to, (scale_x + scale_y).to(dtype))
    else:
        tl.store(to, scale_x.to(dtype))
        tl.store(to + 1, scale_y.to(dtype))
    tl.store(to + NUMBERS - 2, x.to(dtype))
    tl.store(to + NUMBERS - 1, y.to(dtype))


def run_region_sums(grad: Tensor, sampling: Any, regions: Tensor) -> Tensor:
    """Partial sums [N, tiles, 4] of d loss / d (scale_x, scale_y, x, y), float64."""
    image, index, normalization, pool, options, _ = sampling
    cut = sum_tiles(grad, sampling)
    sums = image.new_empty((grad.shape[0], cut.programs, SUMS), dtype=torch.float64)
    tensors = (grad, image, regions, index, pool, normalization, sums)
    launching.launch_on_glimpses(
        region_sums_kernel, tensors, sampling, regions, grad, cut, CLAMP=options.clamp_to_region
    )
    return sums


def sum_tiles(grad: Tensor, sampling: Any) -> Tiling:
    """The tiles of partial sums."""
    return launching.tiles_of(grad, sampling, most_steps=4)


def run_region_gradient(gradient: Tensor, sums: Tensor) -> None:
    """Write the gradient [N, 3] or [N, 4] from the partial sums."""
    count, numbers = gradient.shape
    constants = {"PARTIALS": sums.shape[1], "NUMBERS": numbers, "BLOCK": 32}
    launching.launch(
        region_gradient_kernel, count, sums.device, (sums, gradient), constants, warps=1
    )
