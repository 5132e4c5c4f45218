"""The antialiased glimpse forward: a second launch over the samples that need the filter.

The first launch is the bilinear one. This one writes the glimpses whose samples are more than a
pixel apart along an axis, and leaves the bits of the others.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from .. import launching
from ..axis import picked_image, read_region, rounded, tile_samples
from .filter_axis import filter_radius, filter_samples, triangle


@triton.jit(do_not_specialize=launching.UNSPECIALIZED)
def filtered_glimpse_kernel(
    image, regions, index, pool, normalization, samples,
    images, elements, channels, image_height, image_width, height, width,
    tiles, tiles_across, groups,
    image_stride_n, image_stride_c, image_stride_h, image_stride_w,
    region_stride_n, region_stride_k, index_stride,
    stride_n, stride_c, stride_h, stride_w,
    NUMBERS: tl.constexpr, ALIGN: tl.constexpr, BORDER: tl.constexpr,
    OFFSET: tl.constexpr, REAL: tl.constexpr,
    INTERLEAVED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """One program: one tile of one glimpse."""
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
    radius_x, _ = filter_radius(width, scale_x, image_width, ALIGN)
    radius_y, _ = filter_radius(height, scale_y, image_height, ALIGN)
    wide = usable & ((radius_x > 1.0) | (radius_y > 1.0))
    row, lane, column = tile_samples(tile, tiles_across, channels, INTERLEAVED, ROWS, LANES)
    _, p_y, _, low_y, _, high_y, share_y, _, total_y = filter_samples(
        row, height, scale_y, y, image_height, ALIGN, BORDER, REAL
    )
    _, p_x, _, low_x, _, high_x, share_x, _, total_x = filter_samples(
        column, width, scale_x, x, image_width, ALIGN, BORDER, REAL
    )
    row_written = row < tl.where(wide, height, 0)
    column_written = column < width
    rows = tl.where(row_written, high_y - low_y, 0)
    columns = tl.where(column_written, high_x - low_x, 0)
    most_rows = tl.max(rows, axis=0)
    most_columns = tl.max(columns, axis=0)
    norm_y = share_y / total_y
    norm_x = share_x / total_x
    share_y = share_y.to(REAL)[:, None]
    share_x = share_x.to(REAL)[None, :]

    to_row = (row.to(OFFSET) * stride_h)[:, None]
    to_column = column.to(OFFSET) * stride_w
    across = tl.zeros([LANES], OFFSET)
    source = image + start
    target = samples + n * stride_n
    if INTERLEAVED:
        across = (lane % channels).to(OFFSET) * image_stride_c
        to_column += (lane % channels).to(OFFSET) * stride_c
    for step in tl.static_range(STEPS):
        if INTERLEAVED:
            channel = lane % channels
        else:
            channel = group * STEPS + step
            source = image + (start + channel.to(tl.int64) * image_stride_c)
            target = samples + (n * stride_n + channel.to(tl.int64) * stride_c)
        value = tl.zeros([ROWS, LANES], REAL)
        t = 0
        while t < most_rows:
            weight_y = triangle(low_y + t, p_y, radius_y) * norm_y
            weight_y = tl.where(t < rows, weight_y, 0.0).to(REAL)
            from_row = (low_y + t).to(OFFSET) * image_stride_h
            line = tl.zeros([ROWS, LANES], REAL)
            u = 0
            while u < most_columns:
                weight_x = triangle(low_x + u, p_x, radius_x) * norm_x
                weight_x = tl.where(u < columns, weight_x, 0.0).to(REAL)
                from_column = (low_x + u).to(OFFSET) * image_stride_w + across
                read = (t < rows)[:, None] & (u < columns)[None, :]
                pixel = tl.load(source + (from_row[:, None] + from_column[None, :]), read, 0)
                line += weight_x[None, :] * pixel.to(REAL)
                u += 1
            value += weight_y[:, None] * line
            t += 1
        if normalization is not None:
            scales = tl.load(normalization + channel).to(REAL)
            biases = tl.load(normalization + channels + channel).to(REAL)
            value = value * scales + share_y * share_x * biases
        value = rounded(value, samples.dtype.element_ty)
        to = target + (to_row + to_column[None, :])
        tl.store(to, value, mask=row_written[:, None] & column_written[None, :])


def run_filtered_glimpse(samples: Tensor, sampling: Any, regions: Tensor) -> None:
    """Overwrite the samples [N, C, h, w] of those regions that need the filter."""
    image, index, normalization, pool, _, _ = sampling
    tensors = (image, regions, index, pool, normalization, samples)
    # A plane a program: the weights are little work beside the pixels, and fewer registers do.
    cut = launching.tiles_of(samples, sampling, most_steps=1)
    launching.launch_on_glimpses(filtered_glimpse_kernel, tensors, sampling, regions, samples, cut)
