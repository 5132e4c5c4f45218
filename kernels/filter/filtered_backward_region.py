"""The sums of an antialiased glimpse's gradient with respect to its region.

As in the forward pass, a second launch writes those of the glimpses that need the filter.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from .. import launching
from ..axis import picked_image, read_region, tile_samples
from ..glimpse_backward_region import sum_tiles
from .filter_axis import filter_radius, filter_samples, filter_slopes, triangle


@triton.jit
def weights_at(k, taps, p, radius, middle, low, own, norm, spread, REAL: tl.constexpr):
    """The weight of pixel ``low + k`` in each sample, and its derivatives by p and radius."""
    pixel = low + k
    height = triangle(pixel, p, radius)
    sign = tl.where(pixel < middle, -1.0, 1.0)
    by_p = own * height + norm * sign / radius
    by_radius = norm * (tl.abs(pixel - p) / (radius * radius) - height * spread)
    reached = k < taps
    return (
        tl.where(reached, norm * height, 0.0).to(REAL),
        tl.where(reached, by_p, 0.0).to(REAL),
        tl.where(reached, by_radius, 0.0).to(REAL),
    )


@triton.jit(do_not_specialize=launching.UNSPECIALIZED)
def filtered_sums_kernel(
    grad, image, regions, index, pool, normalization, sums,
    images, elements, channels, image_height, image_width, height, width,
    tiles, tiles_across, groups,
    image_stride_n, image_stride_c, image_stride_h, image_stride_w,
    region_stride_n, region_stride_k, index_stride,
    grad_stride_n, grad_stride_c, grad_stride_h, grad_stride_w,
    NUMBERS: tl.constexpr, ALIGN: tl.constexpr, BORDER: tl.constexpr,
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
    radius_x, widening_x = filter_radius(width, scale_x, image_width, ALIGN)
    radius_y, widening_y = filter_radius(height, scale_y, image_height, ALIGN)
    wide = usable & ((radius_x > 1.0) | (radius_y > 1.0))
    row, lane, column = tile_samples(tile, tiles_across, channels, INTERLEAVED, ROWS, LANES)
    base_y, p_y, free_y, low_y, middle_y, high_y, share_y, share_slope_y, total_y = filter_samples(
        row, height, scale_y, y, image_height, ALIGN, BORDER, REAL
    )
    base_x, p_x, free_x, low_x, middle_x, high_x, share_x, share_slope_x, total_x = filter_samples(
        column, width, scale_x, x, image_width, ALIGN, BORDER, REAL
    )
    own_y, norm_y, spread_y = filter_slopes(
        p_y, radius_y, low_y, middle_y, high_y, share_y, share_slope_y, total_y
    )
    own_x, norm_x, spread_x = filter_slopes(
        p_x, radius_x, low_x, middle_x, high_x, share_x, share_slope_x, total_x
    )
    row_read = row < tl.where(wide, height, 0)
    column_read = column < width
    read = row_read[:, None] & column_read[None, :]
    rows = tl.where(row_read, high_y - low_y, 0)
    columns = tl.where(column_read, high_x - low_x, 0)
    most_rows = tl.max(rows, axis=0)
    most_columns = tl.max(columns, axis=0)

    grad_row = (row.to(OFFSET) * grad_stride_h)[:, None]
    grad_column = column.to(OFFSET) * grad_stride_w
    across = tl.zeros([LANES], OFFSET)
    source = image + start
    incoming = grad + n * grad_stride_n
    if INTERLEAVED:
        across = (lane % channels).to(OFFSET) * image_stride_c
        grad_column += (lane % channels).to(OFFSET) * grad_stride_c
    x_by_p = tl.zeros([ROWS, LANES], REAL)
    x_by_radius = tl.zeros([ROWS, LANES], REAL)
    y_by_p = tl.zeros([ROWS, LANES], REAL)
    y_by_radius = tl.zeros([ROWS, LANES], REAL)
    for step in tl.static_range(STEPS):
        if INTERLEAVED:
            channel = lane % channels
        else:
            channel = group * STEPS + step
            source = image + (start + channel.to(tl.int64) * image_stride_c)
            incoming = grad + (n * grad_stride_n + channel.to(tl.int64) * grad_stride_c)
        g = tl.load(incoming + (grad_row + grad_column[None, :]), mask=read, other=0)
        if g.dtype == tl.bfloat16:
            g = g.to(tl.float32)
        g = g.to(REAL)
        if normalization is not None:
            scales = tl.load(normalization + channel).to(REAL)
            biases = tl.load(normalization + channels + channel).to(REAL)
            of_bias = g * biases
            x_by_p += of_bias * (share_y[:, None] * share_slope_x[None, :]).to(REAL)
            y_by_p += of_bias * (share_slope_y[:, None] * share_x[None, :]).to(REAL)
            g = g * scales
        t = 0
        while t < most_rows:
            weight_y, weight_y_by_p, weight_y_by_radius = weights_at(
                t, rows, p_y, radius_y, middle_y, low_y, own_y, norm_y, spread_y, REAL
            )
            from_row = (low_y + t).to(OFFSET) * image_stride_h
            line = tl.zeros([ROWS, LANES], REAL)
            line_by_p = tl.zeros([ROWS, LANES], REAL)
            line_by_radius = tl.zeros([ROWS, LANES], REAL)
            u = 0
            while u < most_columns:
                weight_x, weight_x_by_p, weight_x_by_radius = weights_at(
                    u, columns, p_x, radius_x, middle_x, low_x, own_x, norm_x, spread_x, REAL
                )
                from_column = (low_x + u).to(OFFSET) * image_stride_w + across
                reached = (t < rows)[:, None] & (u < columns)[None, :]
                pixel = tl.load(source + (from_row[:, None] + from_column[None, :]), reached, 0)
                pixel = pixel.to(REAL)
                line += weight_x[None, :] * pixel
                line_by_p += weight_x_by_p[None, :] * pixel
                line_by_radius += weight_x_by_radius[None, :] * pixel
                u += 1
            x_by_p += g * weight_y[:, None] * line_by_p
            x_by_radius += g * weight_y[:, None] * line_by_radius
            y_by_p += g * weight_y_by_p[:, None] * line
            y_by_radius += g * weight_y_by_radius[:, None] * line
            t += 1

    # pixels per unit of position; samples that the border moved have derivative 0
    per_x = 0.5 * (image_width - 1 if ALIGN else image_width).to(tl.float64)
    per_y = 0.5 * (image_height - 1 if ALIGN else image_height).to(tl.float64)
    shift_x = tl.where(free_x, tl.sum(x_by_p, axis=0).to(tl.float64) * per_x, 0.0)
    shift_y = tl.where(free_y, tl.sum(y_by_p, axis=1).to(tl.float64) * per_y, 0.0)
    wider_x = tl.sum(tl.sum(x_by_radius, axis=0).to(tl.float64)) * widening_x
    wider_y = tl.sum(tl.sum(y_by_radius, axis=1).to(tl.float64)) * widening_y
    to = sums + program.to(tl.int64) * 4
    tl.store(to, tl.sum(shift_x * base_x) + wider_x, mask=wide)
    tl.store(to + 1, tl.sum(shift_y * base_y) + wider_y, mask=wide)
    tl.store(to + 2, tl.sum(shift_x), mask=wide)
    tl.store(to + 3, tl.sum(shift_y), mask=wide)


def run_filtered_sums(sums: Tensor, grad: Tensor, sampling: Any, regions: Tensor) -> None:
    """Overwrite the partial sums [N, tiles, 4] of those regions that need the filter."""
    image, index, normalization, pool, _, _ = sampling
    tensors = (grad, image, regions, index, pool, normalization, sums)
    launching.launch_on_glimpses(
        filtered_sums_kernel, tensors, sampling, regions, grad, sum_tiles(grad, sampling)
    )
