"""The gradient of a glimpse with respect to its image: each pixel gathers from the samples that
touch it.

The map is separable and monotone, so the samples that touch a row or column of pixels are
consecutive. A first launch writes, per glimpse and axis, the position of each sample and the
samples that touch each pixel; the second launch gathers. Every pixel of the gradient is written
once, by one
program, in fixed order: no atomics, and the same bits in every run.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import launching
from .axis import image_of, read_region, rounded, sample_axis
from .source import geometry, index_stride
from .tiles import WARPS, is_interleaved, next_power_of_2, offset_type, real_type, tiling

POSITIONS = 64  # pixels of an axis per program of the first kernel
SAMPLES = 64  # at a time, at most
TABLE_SIZES = [
    "images", "image_height", "image_width", "height", "width", "blocks_y", "blocks",
]  # fmt: skip
GATHER_SIZES = [
    "channels", "image_height", "image_width", "height", "width", "tiles", "tiles_across", "groups",
]  # fmt: skip


@triton.jit(do_not_specialize=TABLE_SIZES)
def touch_tables_kernel(
    regions, index, cells, fractions, touched,
    images, image_height, image_width, height, width, blocks_y, blocks,
    region_stride_n, region_stride_k, index_stride,
    NUMBERS: tl.constexpr, ALIGN: tl.constexpr, BORDER: tl.constexpr, CLAMP: tl.constexpr,
    REAL: tl.constexpr, POSITIONS: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    """One program: a block of rows or columns of one glimpse's image.

    For the samples of a glimpse, rows then columns: the pixel before each and how far beyond it
    lies [N, height + width]. For the pixels, rows then columns: the first sample that touches each
    and how many do [N, image_height + image_width, 2].
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

    position = block * POSITIONS + tl.arange(0, POSITIONS)
    before = tl.zeros([POSITIONS], tl.int32)
    touching = tl.zeros([POSITIONS], tl.int32)
    first = 0
    while first < count:
        i = first + tl.arange(0, SAMPLES)
        _, _, cell, fraction = sample_axis(i, count, scale, shift, size, ALIGN, BORDER, CLAMP, REAL)
        if block == 0:
            tl.store(cells + to_samples + i, cell, mask=i < count)
            tl.store(fractions + to_samples + i, fraction, mask=i < count)
        cell = tl.where(i < count, cell, -9)[None, :]  # touches no pixel
        here = position[:, None]
        touches = (cell == here) | (cell == here - 1)
        # Samples run towards higher pixels, or towards lower ones in a mirrored glimpse.
        precedes = tl.where(scale >= 0, (cell < here - 1) & (cell != -9), cell > here)
        touching += tl.sum(touches.to(tl.int32), axis=1)
        before += tl.sum(precedes.to(tl.int32), axis=1)
        first += SAMPLES
    to = touched + 2 * (to_pixels + position)
    tl.store(to, before, mask=position < size)
    tl.store(to + 1, tl.where(usable, touching, 0), mask=position < size)


@triton.jit(do_not_specialize=GATHER_SIZES)
def image_gradient_kernel(
    grad, normalization, cells, fractions, touched, order, starts, gradient,
    channels, image_height, image_width, height, width, tiles, tiles_across, groups,
    grad_stride_n, grad_stride_c, grad_stride_h, grad_stride_w,
    stride_b, stride_c, stride_h, stride_w,
    OFFSET: tl.constexpr, REAL: tl.constexpr,
    INTERLEAVED: tl.constexpr, ROWS: tl.constexpr, LANES: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """One program: one tile of one image, of one plane or of all interleaved channels.

    ``order`` lists the glimpses by image; those of image b are order[starts[b] : starts[b + 1]].
    """
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
        of_samples = n * (height + width)
        of_pixels = touched + 2 * n * (image_height + image_width)
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
            touches_row = i < rows
            below = tl.load(fractions + of_samples + r, mask=touches_row, other=0)
            cell_y = tl.load(cells + of_samples + r, mask=touches_row, other=0)
            weight_y = tl.where(cell_y == row, 1.0 - below, below)
            weight_y = tl.where(touches_row, weight_y, 0.0)
            j = 0
            while j < most_columns:
                c = first_c + j
                touches_column = j < columns
                at = of_samples + height + c
                beyond = tl.load(fractions + at, mask=touches_column, other=0)
                cell_x = tl.load(cells + at, mask=touches_column, other=0)
                weight_x = tl.where(cell_x == column, 1.0 - beyond, beyond)
                weight_x = tl.where(touches_column, weight_x, 0.0)
                from_column = c.to(OFFSET) * grad_stride_w
                if INTERLEAVED:
                    from_column += channel.to(OFFSET) * grad_stride_c
                from_row = r.to(OFFSET) * grad_stride_h
                touches = touches_row[:, None] & touches_column[None, :]
                g = tl.load(incoming + (from_row[:, None] + from_column[None, :]), touches, 0)
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


def run_image_gradient(gradient: Tensor, grad: Tensor, sampling: Any, regions: Tensor) -> None:
    """Write the whole gradient [B, C, H, W]."""
    count, _, height, width = grad.shape
    cells = regions.new_empty((count, height + width), dtype=torch.int32)
    exact = real_type(gradient) == tl.float64
    fractions = torch.empty_like(cells, dtype=torch.float64 if exact else torch.float32)
    tables = (cells, fractions, new_pixel_table(gradient, grad))
    clamp = {"CLAMP": sampling.options.clamp_to_region}
    launch_tables(touch_tables_kernel, tables, gradient, grad, sampling, regions, clamp)
    launch_gather(image_gradient_kernel, tables, gradient, grad, sampling)


def new_pixel_table(gradient: Tensor, grad: Tensor) -> Tensor:
    """For the rows, then the columns of pixels: the first sample that touches each, and how many
    do [N, H + W, 2]."""
    sides = gradient.shape[2] + gradient.shape[3]
    return torch.empty((grad.shape[0], sides, 2), dtype=torch.int32, device=grad.device)


def launch_tables(
    kernel: Any,
    tables: tuple[Tensor, ...],
    gradient: Tensor,
    grad: Tensor,
    sampling: Any,
    regions: Tensor,
    constants: dict[str, Any],
) -> None:
    """Have the tables of samples and pixels written, a block of pixels of an axis per program."""
    _, index, _, _, options, _ = sampling
    images, _, image_height, image_width = gradient.shape
    count, _, height, width = grad.shape
    blocks_y, blocks_x = -(-image_height // POSITIONS), -(-image_width // POSITIONS)
    arguments = (
        regions, index, *tables,
        images, image_height, image_width, height, width, blocks_y, blocks_y + blocks_x,
        *regions.stride(), index_stride(index),
    )  # fmt: skip
    constants = {
        **geometry(options, regions),
        **constants,
        "REAL": real_type(gradient),
        "POSITIONS": POSITIONS,
        "SAMPLES": min(next_power_of_2(max(height, width)), SAMPLES),
    }
    programs = count * (blocks_y + blocks_x)
    launching.launch(kernel, programs, grad.device, arguments, constants, WARPS)


def launch_gather(
    kernel: Any, tables: tuple[Tensor, ...], gradient: Tensor, grad: Tensor, sampling: Any
) -> None:
    """Have the gradient of the images gathered by means of the tables."""
    images, channels, image_height, image_width = gradient.shape
    order, starts = glimpses_by_image(sampling.image_index, images)
    cut = tiling(image_height, image_width, channels, is_interleaved(gradient), most_steps=1)
    arguments = (
        grad, sampling.normalization, *tables, order, starts, gradient,
        channels, image_height, image_width, *grad.shape[2:],
        cut.tiles, cut.tiles_across, cut.groups, *grad.stride(), *gradient.stride(),
    )  # fmt: skip
    constants = {
        "OFFSET": offset_type(gradient, grad),
        "REAL": real_type(gradient),
        **cut.constants,
    }
    launching.launch(kernel, images * cut.programs, grad.device, arguments, constants, WARPS)


def glimpses_by_image(
    image_index: Tensor | None, images: int
) -> tuple[Tensor | None, Tensor | None]:
    """The glimpses in the order of their images, and the start of each image's glimpses. An index
    out of range sorts before the first or after the last start. (None, None): one glimpse each."""
    if image_index is None:
        return None, None
    ordered, order = torch.sort(image_index, stable=True)
    bounds = torch.arange(images + 1, dtype=ordered.dtype, device=ordered.device)
    return order, torch.searchsorted(ordered, bounds)
