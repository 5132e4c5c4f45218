"""Device functions for coordinates: reading a region or deriving it from logits, finding its
image, and placing samples along an axis with their bilinear weights.

The same formulas in the same order as csrc/glimpse_math.h. Coordinates are in float64 because a
float32 coordinate cannot place a sample within 1e-7 of a pixel on a large image; a tile computes
them once per row and once per column, not per sample. Weights have the type that samples are
computed in. Indices are not clamped: pixels outside the image are masked out of the loads.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sample_axis(
    i, count, scale, shift, size,
    ALIGN: tl.constexpr, BORDER: tl.constexpr, CLAMP: tl.constexpr, REAL: tl.constexpr,
):  # fmt: skip
    """For samples ``i`` of ``count`` along one axis: the derivative of their position by the scale
    (-1 to 1, float64), their source coordinate in pixels (float64, not moved into the image), the
    pixel before it (-2 to size + 1, int32; -2 if there is none), and their distance from that pixel
    (REAL)."""
    if ALIGN:
        # a glimpse of one pixel samples the centre
        by_scale = (2.0 * i.to(tl.float64) / tl.where(count > 1, count - 1, 1) - 1.0) * (count > 1)
        pixel = 0.5 * (scale * by_scale + shift + 1.0) * (size - 1)
        # for an image of one pixel: infinity times 0
    else:
        by_scale = (2.0 * i.to(tl.float64) + 1.0) / count - 1.0
        offset = scale * by_scale
        if CLAMP:
            offset, by_scale = clamped_offset(offset, by_scale, scale, size)
        pixel = 0.5 * ((offset + shift + 1.0) * size - 1.0)
    low = 0.0 if BORDER else -2.0
    high = size - 1 if BORDER else size + 1
    near = tl.where(pixel > low, pixel, low)
    near = tl.where(near < high, near, high)
    cell = tl.floor(near)
    return by_scale, pixel, cell.to(tl.int32), (near - cell).to(REAL)


@triton.jit
def clamped_offset(offset, by_scale, scale, size):
    """Offsets from the region's centre and their derivatives by the scale, where no sample is
    nearer to the region's edges than half a pixel."""
    reach = tl.abs(scale) - 1.0 / size.to(tl.float64)
    edge = tl.where(scale < 0.0, -1.0, 1.0).to(tl.float64)
    by_scale = tl.where(offset > reach, edge, tl.where(offset < -reach, -edge, by_scale))
    offset = tl.where(offset > reach, reach, tl.where(offset < -reach, -reach, offset))
    # less than a pixel: its centre
    return tl.where(reach > 0.0, offset, 0.0), tl.where(reach > 0.0, by_scale, 0.0)


@triton.jit
def weights_inside(cell, fraction, size):
    """Weights of the pixels ``cell`` and ``cell + 1``, 0 outside the image."""
    left_inside = (cell >= 0) & (cell < size)
    right_inside = (cell >= -1) & (cell < size - 1)
    left = tl.where(left_inside, 1.0 - fraction, 0.0)
    right = tl.where(right_inside, fraction, 0.0)
    return left, right, left_inside, right_inside


@triton.jit
def rounded(value, dtype: tl.constexpr):
    """Convert to the type of a result; half types are reached from float32 only."""
    if dtype != tl.float64:
        value = value.to(tl.float32)
    return value.to(dtype)


@triton.jit
def usable_region(scale_x, scale_y, x, y):
    """The region, with zeros if it is not finite, and whether it is."""
    # x - x is 0 only for finite x
    usable = ((scale_x - scale_x) + (scale_y - scale_y) + (x - x) + (y - y)) == 0
    scale_x = tl.where(usable, scale_x, 0.0)
    scale_y = tl.where(usable, scale_y, 0.0)
    return scale_x, scale_y, tl.where(usable, x, 0.0), tl.where(usable, y, 0.0), usable


@triton.jit
def read_region(region, n, stride_n, stride_k, NUMBERS: tl.constexpr):
    """(scale_x, scale_y, x, y) in float64, zeros where not all are finite, and whether they are."""
    row = region + n * stride_n
    scale_x = tl.load(row).to(tl.float64)
    scale_y = tl.load(row + (NUMBERS - 3) * stride_k).to(tl.float64)
    x = tl.load(row + (NUMBERS - 2) * stride_k).to(tl.float64)
    y = tl.load(row + (NUMBERS - 1) * stride_k).to(tl.float64)
    return usable_region(scale_x, scale_y, x, y)


@triton.jit
def probabilities(logits, n, stride_n, stride_k):
    """The sigmoid of the three logits, float64."""
    row = logits + n * stride_n
    p0 = 1.0 / (1.0 + tl.exp(-tl.load(row).to(tl.float64)))
    p1 = 1.0 / (1.0 + tl.exp(-tl.load(row + stride_k).to(tl.float64)))
    p2 = 1.0 / (1.0 + tl.exp(-tl.load(row + 2 * stride_k).to(tl.float64)))
    return p0, p1, p2


@triton.jit
def image_of(n, index, stride_index, images):
    """The image of glimpse n, or 0, and whether it exists."""
    if index is None:
        picked = n
        exists = n >= 0
    else:
        picked = tl.load(index + n * stride_index).to(tl.int64)
        exists = (picked >= 0) & (picked < images)
        picked = tl.where(exists, picked, 0)
    return picked, exists


@triton.jit
def image_in_pool(pool, picked, elements, channels, OFFSET: tl.constexpr):
    """An image in a pool: offset, height, width, strides of channel, row and column, and whether
    all of it lies inside the buffer of this many elements. The table is not checked before."""
    entry = pool + 6 * picked
    offset = tl.load(entry)
    height = tl.load(entry + 1)
    width = tl.load(entry + 2)
    stride_c = tl.load(entry + 3)
    stride_h = tl.load(entry + 4)
    stride_w = tl.load(entry + 5)
    some = (height >= 1) & (width >= 1) & (height < 2**30) & (width < 2**30)
    forward = (offset >= 0) & (stride_c >= 0) & (stride_h >= 0) & (stride_w >= 0)
    # float64 is exact here and does not wrap around
    last = offset.to(tl.float64) + (channels - 1) * stride_c.to(tl.float64)
    last += (height - 1).to(tl.float64) * stride_h.to(tl.float64)
    last += (width - 1).to(tl.float64) * stride_w.to(tl.float64)
    inside = some & forward & (last < elements)
    height = tl.where(inside, height, 1).to(tl.int32)
    width = tl.where(inside, width, 1).to(tl.int32)
    return offset, height, width, stride_c, stride_h.to(OFFSET), stride_w.to(OFFSET), inside


@triton.jit
def picked_image(
    n, usable, index, index_stride, pool, images, elements, channels, image_height, image_width,
    image_stride_n, image_stride_c, image_stride_h, image_stride_w, OFFSET: tl.constexpr,
):  # fmt: skip
    """The image of glimpse n: its first element, height, width, strides of channel, row and
    column, and ``usable``, set to False if the image does not exist."""
    picked, exists = image_of(n, index, index_stride, images)
    usable = usable & exists
    start = picked * image_stride_n
    if pool is not None:
        (
            start, image_height, image_width, image_stride_c, image_stride_h, image_stride_w, inside
        ) = image_in_pool(pool, picked, elements, channels, OFFSET)  # fmt: skip
        usable = usable & inside
    return (
        start, image_height, image_width, image_stride_c, image_stride_h, image_stride_w, usable
    )  # fmt: skip


@triton.jit
def tile_samples(
    tile, tiles_across, channels, INTERLEAVED: tl.constexpr, ROWS: tl.constexpr,
    LANES: tl.constexpr,
):  # fmt: skip
    """The rows, lanes and columns of a tile."""
    row = (tile // tiles_across) * ROWS + tl.arange(0, ROWS)
    lane = (tile % tiles_across) * LANES + tl.arange(0, LANES)
    column = lane // channels if INTERLEAVED else lane
    return row, lane, column


@triton.jit
def four_pixels(
    at, stride_h, stride_w, upper_inside, lower_inside, left_inside, right_inside,
    REAL: tl.constexpr,
):  # fmt: skip
    """The pixels around each sample, 0 outside: upper left and right, lower left and right."""
    below = at + stride_h
    a = tl.load(at, mask=upper_inside & left_inside, other=0).to(REAL)
    b = tl.load(at + stride_w, mask=upper_inside & right_inside, other=0).to(REAL)
    c = tl.load(below, mask=lower_inside & left_inside, other=0).to(REAL)
    d = tl.load(below + stride_w, mask=lower_inside & right_inside, other=0).to(REAL)
    return a, b, c, d
