"""The glimpse forward, from regions or straight from localization logits, in one launch."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from . import launching
from .axis import (
    four_pixels,
    picked_image,
    probabilities,
    read_region,
    rounded,
    sample_axis,
    tile_samples,
    usable_region,
    weights_inside,
)


@triton.jit(do_not_specialize=launching.UNSPECIALIZED)
def glimpse_kernel(
    image, regions, region_result, index, pool, normalization, samples,
    images, elements, channels, image_height, image_width, height, width,
    tiles, tiles_across, groups,
    image_stride_n, image_stride_c, image_stride_h, image_stride_w,
    region_stride_n, region_stride_k, index_stride,
    stride_n, stride_c, stride_h, stride_w,
    scale_min: tl.float64, scale_max: tl.float64,
    NUMBERS: tl.constexpr, ALIGN: tl.constexpr, BORDER: tl.constexpr, CLAMP: tl.constexpr,
    OFFSET: tl.constexpr, REAL: tl.constexpr,
    INTERLEAVED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """One program: one tile of one glimpse. With ``region_result``, ``regions`` are logits."""
    program = tl.program_id(0)
    tile = program % tiles
    group = (program // tiles) % groups
    n = (program // (tiles * groups)).to(tl.int64)

    if region_result is None:
        scale_x, scale_y, x, y, usable = read_region(
            regions, n, region_stride_n, region_stride_k, NUMBERS
        )
    else:
        p0, p1, p2 = probabilities(regions, n, region_stride_n, region_stride_k)
        dtype: tl.constexpr = region_result.dtype.element_ty
        scale = p0 * (scale_max - scale_min) + scale_min
        x = ((2.0 * p1 - 1.0) * (1.0 - scale)).to(dtype)
        y = ((2.0 * p2 - 1.0) * (1.0 - scale)).to(dtype)
        scale = scale.to(dtype)
        if (tile == 0) & (group == 0):
            tl.store(region_result + 3 * n, scale)
            tl.store(region_result + 3 * n + 1, x)
            tl.store(region_result + 3 * n + 2, y)
        # Samples are taken at the returned region, rounding included.
        scale_x, scale_y, x, y, usable = usable_region(
            scale.to(tl.float64), scale.to(tl.float64), x.to(tl.float64), y.to(tl.float64)
        )
    (
        start, image_height, image_width, image_stride_c, image_stride_h, image_stride_w, usable
    ) = picked_image(
        n, usable, index, index_stride, pool, images, elements, channels, image_height,
        image_width, image_stride_n, image_stride_c, image_stride_h, image_stride_w, OFFSET,
    )  # fmt: skip
    row, lane, column = tile_samples(tile, tiles_across, channels, INTERLEAVED, ROWS, LANES)
    _, _, cell_y, fraction_y = sample_axis(
        row, height, scale_y, y, image_height, ALIGN, BORDER, CLAMP, REAL
    )
    _, _, cell_x, fraction_x = sample_axis(
        column, width, scale_x, x, image_width, ALIGN, BORDER, CLAMP, REAL
    )
    # All pixels of an unusable image count as outside.
    upper, lower, upper_inside, lower_inside = weights_inside(
        cell_y, fraction_y, tl.where(usable, image_height, 0)
    )
    left, right, left_inside, right_inside = weights_inside(cell_x, fraction_x, image_width)

    row_written = row < height
    column_written = column < width
    upper_inside = (upper_inside & row_written)[:, None]
    lower_inside = (lower_inside & row_written)[:, None]
    left_inside = (left_inside & column_written)[None, :]
    right_inside = (right_inside & column_written)[None, :]
    weight = (upper + lower)[:, None] * (left + right)[None, :]
    upper, lower = upper[:, None], lower[:, None]
    left, right = left[None, :], right[None, :]

    from_row = (cell_y.to(OFFSET) * image_stride_h)[:, None]
    to_row = (row.to(OFFSET) * stride_h)[:, None]
    from_column = cell_x.to(OFFSET) * image_stride_w
    to_column = column.to(OFFSET) * stride_w
    source = image + start
    target = samples + n * stride_n
    if INTERLEAVED:
        from_column += (lane % channels).to(OFFSET) * image_stride_c
        to_column += (lane % channels).to(OFFSET) * stride_c

    for step in tl.static_range(STEPS):
        if INTERLEAVED:
            channel = lane % channels
        else:
            channel = group * STEPS + step
            source = image + (start + channel.to(tl.int64) * image_stride_c)
            target = samples + (n * stride_n + channel.to(tl.int64) * stride_c)
        at = source + (from_row + from_column[None, :])
        a, b, c, d = four_pixels(
            at, image_stride_h, image_stride_w, upper_inside, lower_inside, left_inside,
            right_inside, REAL,
        )  # fmt: skip
        value = left * (upper * a + lower * c) + right * (upper * b + lower * d)
        if normalization is not None:
            # The bias goes with the weights inside the image, so padding stays 0 after normalising.
            scales = tl.load(normalization + channel).to(REAL)
            biases = tl.load(normalization + channels + channel).to(REAL)
            value = value * scales + weight * biases
        value = rounded(tl.where(usable, value, float("nan")), samples.dtype.element_ty)
        to = target + (to_row + to_column[None, :])
        tl.store(to, value, mask=row_written[:, None] & column_written[None, :])


def run_glimpse(
    samples: Tensor,
    sampling: Any,
    regions: Tensor,
    region_result: Tensor | None = None,
    range_map: Any = None,
) -> None:
    """Write the samples [N, C, h, w]. With ``region_result`` [N, 3], ``regions`` are logits, and
    the region is written as well."""
    image, index, normalization, pool, options, _ = sampling
    tensors = (image, regions, region_result, index, pool, normalization, samples)
    scale_range = (0.0, 0.0) if range_map is None else range_map[:2]
    launching.launch_on_glimpses(
        glimpse_kernel, tensors, sampling, regions, samples,
        launching.tiles_of(samples, sampling, most_steps=4), scale_range,
        CLAMP=options.clamp_to_region,
    )  # fmt: skip
