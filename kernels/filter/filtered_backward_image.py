"""The gradient of antialiased glimpses with respect to their image.

As in glimpse_backward_image.py, a first launch finds which samples reach each row and column of
pixels, and the second gathers: no atomics. Glimpses that need no filter have one of a pixel.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..axis import image_of, read_region, rounded
from ..glimpse_backward_image import (
    GATHER_SIZES,
    TABLE_SIZES,
    launch_gather,
    launch_tables,
    new_pixel_table,
)
from .filter_axis import filter_radius, filter_samples, triangle


@triton.jit(do_not_specialize=TABLE_SIZES)
def reach_tables_kernel(
    regions, index, places, reached,
    images, image_height, image_width, height, width, blocks_y, blocks,
    region_stride_n, region_stride_k, index_stride,
    NUMBERS: tl.constexpr, ALIGN: tl.constexpr, BORDER: tl.constexpr, REAL: tl.constexpr,
    POSITIONS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    """One program: a block of rows or columns of one glimpse's image.

    For the samples of a glimpse, rows then columns: place in pixels, radius, and what the triangle
    is multiplied by [N, height + width, 3], float64. For the pixels: the first sample that reaches
    each and how many do [N, image_height + image_width, 2].
    """
    program = tl.program_id(0)
    block = program % blocks
    n = (program // blocks).to(tl.int64)
    scale_x, scale_y, x, y, usable = read_region(
        regions, n, region_stride_n, region_stride_k, NUMBERS
    )
    _picked, exists = image_of(n, index, index_stride, images)
    usable = usable & exists

    along_y = block < blocks_y
    block = tl.where(along_y, block, block - blocks_y)
    scale = tl.where(along_y, scale_y, scale_x)
    shift = tl.where(along_y, y, x)
    size = tl.where(along_y, image_height, image_width)
    count = tl.where(along_y, height, width)
    to_samples = n * (height + width) + tl.where(along_y, 0, height)
    to_pixels = n * (image_height + image_width) + tl.where(along_y, 0, image_height)
    radius, _widening = filter_radius(count, scale, size, ALIGN)

    position = block * POSITIONS + tl.arange(0, POSITIONS)
    before = tl.zeros([POSITIONS], tl.int32)
    reaching = tl.zeros([POSITIONS], tl.int32)
    first = 0
    while first < count:
        i = first + tl.arange(0, SAMPLES)
        base, p, _free, low, _middle, high, share, _slope, total = filter_samples(
            i, count, scale, shift, size, ALIGN, BORDER, REAL
        )
        if block == 0:
            to = places + 3 * (to_samples + i)
            tl.store(to, p, mask=i < count)
            tl.store(to + 1, tl.zeros([SAMPLES], tl.float64) + radius, mask=i < count)
            tl.store(to + 2, share / total, mask=i < count)
        low = tl.where(i < count, low, 0)[None, :]
        high = tl.where(i < count, high, 0)[None, :]
        here = position[:, None]
        reaches = (low <= here) & (here < high)
        # Where the sample lies, whether inside or not: samples run towards higher pixels, or
        # towards lower ones in a mirrored glimpse.
        where = 0.5 * (scale * base + shift + 1.0)
        where = where * (size - 1) if ALIGN else where * size - 0.5
        where = where[None, :]
        precedes = tl.where(scale >= 0, where < here, where > here) & (i < count)[None, :]
        reaching += tl.sum(reaches.to(tl.int32), axis=1)
        before += tl.sum((precedes & (reaches == 0)).to(tl.int32), axis=1)
        first += SAMPLES
    to_pixel = reached + 2 * (to_pixels + position)
    tl.store(to_pixel, before, mask=position < size)
    tl.store(to_pixel + 1, tl.where(usable, reaching, 0), mask=position < size)


@triton.jit(do_not_specialize=GATHER_SIZES)
def filtered_image_gradient_kernel(
    grad, normalization, places, reached, order, starts, gradient,
    channels, image_height, image_width, height, width, tiles, tiles_across, groups,
    grad_stride_n, grad_stride_c, grad_stride_h, grad_stride_w,
    stride_b, stride_c, stride_h, stride_w,
    OFFSET: tl.constexpr, REAL: tl.constexpr,
    INTERLEAVED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """One program: one tile of one image, of one plane or of all interleaved channels."""
    tl.static_assert(STEPS == 1)
    program = tl.program_id(0)
    tile = program % tiles
    channel = (program // tiles) % groups
    b = (program // (tiles * groups)).to(tl.int64)
    row = (tile // tiles_across) * ROWS + tl.arange(0, ROWS)
    lane = (tile % tiles_across) * LANES + tl.arange(0, LANES)
    if INTERLEAVED:
        column = lane // channels
        channel = lane % channels
    else:
        column = lane
    row_inside = row < image_height
    column_inside = column < image_width
    if order is None:
        k = b
        end = b + 1
    else:
        k = tl.load(starts + b)
        end = tl.load(starts + b + 1)
    total = tl.zeros([ROWS, LANES], REAL)
    while k < end:
        n = k if order is None else tl.load(order + k)
        of_samples = places + 3 * n * (height + width)
        of_pixels = reached + 2 * n * (image_height + image_width)
        first_r = tl.load(of_pixels + 2 * row, mask=row_inside, other=0)
        rows = tl.load(of_pixels + 2 * row + 1, mask=row_inside, other=0)
        of_pixels += 2 * image_height
        first_c = tl.load(of_pixels + 2 * column, mask=column_inside, other=0)
        columns = tl.load(of_pixels + 2 * column + 1, mask=column_inside, other=0)
        most_columns = tl.max(columns, axis=0)
        most_rows = tl.where(most_columns > 0, tl.max(rows, axis=0), 0)
        if INTERLEAVED:
            incoming = grad + n * grad_stride_n
        else:
            incoming = grad + (n * grad_stride_n + channel.to(tl.int64) * grad_stride_c)
        i = 0
        while i < most_rows:
            r = first_r + i
            reaches_row = i < rows
            of_row = of_samples + 3 * r
            p_y = tl.load(of_row, mask=reaches_row, other=0.0)
            radius_y = tl.load(of_row + 1, mask=reaches_row, other=1.0)
            norm_y = tl.load(of_row + 2, mask=reaches_row, other=0.0)
            weight_y = triangle(row, p_y, radius_y) * norm_y
            weight_y = tl.where(reaches_row, weight_y, 0.0).to(REAL)
            j = 0
            while j < most_columns:
                c = first_c + j
                reaches_column = j < columns
                of_column = of_samples + 3 * (height + c)
                p_x = tl.load(of_column, mask=reaches_column, other=0.0)
                radius_x = tl.load(of_column + 1, mask=reaches_column, other=1.0)
                norm_x = tl.load(of_column + 2, mask=reaches_column, other=0.0)
                weight_x = triangle(column, p_x, radius_x) * norm_x
                weight_x = tl.where(reaches_column, weight_x, 0.0).to(REAL)
                from_column = c.to(OFFSET) * grad_stride_w
                if INTERLEAVED:
                    from_column += channel.to(OFFSET) * grad_stride_c
                from_row = r.to(OFFSET) * grad_stride_h
                reaches = reaches_row[:, None] & reaches_column[None, :]
                g = tl.load(incoming + (from_row[:, None] + from_column[None, :]), reaches, 0)
                if g.dtype == tl.bfloat16:
                    g = g.to(tl.float32)
                total += weight_y[:, None] * weight_x[None, :] * g.to(REAL)
                j += 1
            i += 1
        k += 1

    if normalization is not None:
        total *= tl.load(normalization + channel).to(REAL)
    if INTERLEAVED:
        to_column = column.to(OFFSET) * stride_w + channel.to(OFFSET) * stride_c
        to = gradient + b * stride_b
    else:
        to_column = column.to(OFFSET) * stride_w
        to = gradient + (b * stride_b + channel.to(tl.int64) * stride_c)
    to_row = row.to(OFFSET) * stride_h
    total = rounded(total, gradient.dtype.element_ty)
    inside = row_inside[:, None] & column_inside[None, :]
    tl.store(to + (to_row[:, None] + to_column[None, :]), total, mask=inside)


def run_filtered_image_gradient(
    gradient: Tensor, grad: Tensor, sampling: Any, regions: Tensor
) -> None:
    """Write the whole gradient [B, C, H, W]."""
    count, _, height, width = grad.shape
    places = regions.new_empty((count, height + width, 3), dtype=torch.float64)
    tables = (places, new_pixel_table(gradient, grad))
    launch_tables(reach_tables_kernel, tables, gradient, grad, sampling, regions, {})
    launch_gather(filtered_image_gradient_kernel, tables, gradient, grad, sampling)
