"""Device functions of antialiased glimpses: the triangle filter of a sample along one axis.

The same formulas as csrc/filter_math.h. A triangle is two straight lines, so the sums of a
filter have a closed form, and a program finds the weights of its samples without reading pixels.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..axis import sample_axis


@triton.jit
def filter_radius(count, scale, size, ALIGN: tl.constexpr):
    """Half the width of the filter, and its derivative by the scale (float64)."""
    if ALIGN:
        per_scale = (size - 1).to(tl.float64) / tl.where(count > 1, count - 1, 1)
    else:
        per_scale = size.to(tl.float64) / count
    step = tl.abs(scale) * per_scale
    radius = tl.where(step > 1.0, step, 1.0)
    slope = tl.where(step > 1.0, tl.where(scale < 0.0, -per_scale, per_scale), 0.0)
    return radius, slope


@triton.jit
def first_beyond(position, bound, size):
    """The smallest whole number k in 0..size with k - position > bound (int32)."""
    guess = position + bound
    guess = tl.where(guess > 0.0, guess, 0.0)
    guess = tl.where(guess < size, guess, size.to(tl.float64))
    k = tl.floor(guess)
    # The comparison itself decides, as rounding of position + bound may be off by one.
    k = tl.where(k - 1.0 - position > bound, k - 1.0, k)
    k = tl.where(k - position > bound, k, k + 1.0)
    k = tl.where(k > 0.0, k, 0.0)
    return tl.where(k < size, k, size.to(tl.float64)).to(tl.int32)


@triton.jit
def filter_samples(
    i, count, scale, shift, size, ALIGN: tl.constexpr, BORDER: tl.constexpr, REAL: tl.constexpr
):
    """For samples ``i`` of ``count``: their base (-1 to 1), their place p in pixels, moved into the
    image by the border, and whether it was not moved (float64); the pixels low..high - 1 that they
    reach and how many of those lie at or before p (int32); the share of a bilinear sample that is
    inside the image, its derivative by p, and the sum of the triangle (float64)."""
    base, pixel, _, _ = sample_axis(i, count, scale, shift, size, ALIGN, BORDER, False, REAL)
    radius, _ = filter_radius(count, scale, size, ALIGN)
    last = (size - 1).to(tl.float64)
    if BORDER:
        free = (pixel > 0.0) & (pixel < last)
        p = tl.where(pixel > 0.0, pixel, 0.0)
        p = tl.where(p < last, p, last)
        share = tl.full(p.shape, 1.0, tl.float64)
        share_slope = tl.zeros(p.shape, tl.float64)
    else:
        inside = (pixel > -1.0) & (pixel < last + 1.0)
        p = tl.where(inside, pixel, 0.0)
        free = inside
        share = tl.where(p < 0.0, p + 1.0, tl.where(p >= last, last + 1.0 - p, 1.0))
        share = tl.where(inside, share, 0.0)
        share_slope = tl.where(p < 0.0, 1.0, tl.where(p >= last, -1.0, 0.0))
        share_slope = tl.where(inside, share_slope, 0.0)
    low = first_beyond(p, -radius, size)
    middle = first_beyond(p, 0.0, size)
    high = first_beyond(p, radius, size)
    before = (middle - low).to(tl.float64)
    behind = (high - middle).to(tl.float64)
    total = before * (1.0 + (low - p) / radius) + 0.5 * before * (before - 1.0) / radius
    total += behind * (1.0 - (middle - p) / radius) - 0.5 * behind * (behind - 1.0) / radius
    seen = (total > 0.0) & (share > 0.0)
    high = tl.where(seen, high, low)
    return base, p, free, low, middle, high, share, share_slope, tl.where(seen, total, 1.0)


@triton.jit
def triangle(pixel, p, radius):
    """1 - |pixel - p| / radius, at least 0 (float64)."""
    height = 1.0 - tl.abs(pixel - p) / radius
    return tl.where(height > 0.0, height, 0.0)


@triton.jit
def filter_slopes(p, radius, low, middle, high, share, share_slope, total):
    """With u the triangle of a pixel and d its distance from p, the derivatives of its weight are
    ``own * u + norm * sign / radius`` by p, sign -1 at or before p and 1 behind, and
    ``norm * (|d| / radius^2 - u * spread)`` by the radius: own, norm, spread (float64)."""
    norm = share / total
    before = (middle - low).to(tl.float64)
    behind = (high - middle).to(tl.float64)
    own = share_slope / total - norm * ((behind - before) / radius) / total
    spread = before * (p - low) - 0.5 * before * (before - 1.0)
    spread += behind * (middle - p) + 0.5 * behind * (behind - 1.0)
    return own, norm, spread / (radius * radius) / total
