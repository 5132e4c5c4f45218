// The triangle filter of antialiasing along one axis. A triangle is two straight lines: before its
// sample position, weights rise from pixel to pixel by a constant step, behind it they fall. So is
// every derivative of a weight. A sample therefore needs two sums of each half: of the pixels, and
// of the pixels times their number in the half, but no weights. Shared by host and device code.
#pragma once

#include <cstdint>

#include "glimpse_math.h"
#include "job.h"
#include "region.h"

namespace mgnet {
namespace MGNET_ISA {

// start + step * k for pixel k of a half.
template <class Real>
struct Line {
  Real start, step;
};

enum Half { kBefore = 0, kBehind = 1, kHalves = 2 };

// One sample. Its halves are the pixels from edge[0] to edge[1] and from there to edge[2], ends
// excluded; both are empty for a sample outside the image.
template <class Real>
struct FilterTap {
  int32_t edge[kHalves + 1];
  Line<Real> weight[kHalves];
  Line<Real> by_scale[kHalves];                // derivative with respect to the region's scale ...
  Line<Real> by_shift[kHalves];                // ... and to its x or y
  Real total, total_by_scale, total_by_shift;  // sums over all pixels of the sample
};

// Pixels between samples: the width of the filter, where it is more than one.
MGNET_INLINE double pixels_per_sample(double scale, int64_t size, int64_t count, bool align) {
  const double span = align ? (double)(size - 1) : (double)size;
  const double steps = align ? (double)(count > 1 ? count - 1 : 1) : (double)count;
  return (scale < 0.0 ? -scale : scale) * span / steps;
}

MGNET_INLINE bool axis_is_wide(double scale, int64_t size, int64_t count, bool align) {
  return pixels_per_sample(scale, size, count, align) > 1.0;
}

// Whether a glimpse of an image of the job needs the filter; the others have the bits of bilinear
// ones.
MGNET_INLINE bool needs_filter(const Job& job, const Region& region) {
  if (!job.sampling.antialias || !region.finite) return false;
  if (job.glimpses.height == 0 || job.glimpses.width == 0) return false;
  const bool align = job.sampling.align_corners;
  return (axis_is_wide(region.scale_x, job.images.width, job.glimpses.width, align) ||
          axis_is_wide(region.scale_y, job.images.height, job.glimpses.height, align));
}

// The sum of a line over the first `count` pixels of a half.
MGNET_INLINE double sum_of_line(double start, double step, double count) {
  return count * start + step * (0.5 * count * (count - 1.0));
}

// The smallest whole number k with k - position > bound, for positions near the image. The
// comparison itself decides, as in the reference: rounding of position + bound does not.
MGNET_INLINE int64_t first_beyond(double position, double bound, int64_t size) {
  const double guess = position + bound;
  int64_t k = guess > 0.0 ? (guess < (double)size ? (int64_t)guess : size) : 0;
  while (k > 0 && (double)(k - 1) - position > bound) --k;
  while (k < size && !((double)k - position > bound)) ++k;
  return k;
}

template <class Real>
MGNET_INLINE Line<Real> to_line(double start, double step) {
  return {(Real)start, (Real)step};
}

// scale, shift: of the region; base: of the sample (base_position).
template <class Real>
MGNET_INLINE FilterTap<Real> filter_tap(double base, double scale, double shift, int64_t size,
                                        int64_t count, bool align, bool border) {
  FilterTap<Real> tap = {};
  const double step = pixels_per_sample(scale, size, count, align);
  const double radius = step > 1.0 ? step : 1.0;
  const double per_scale = pixels_per_sample(1.0, size, count, align);
  const double radius_slope = step > 1.0 ? (scale < 0.0 ? -per_scale : per_scale) : 0.0;
  const double last = (double)(size - 1);
  double p = source_pixel(scale * base, shift, size, align);
  double slope = pixels_per_position(size, align);  // d p / d shift
  double share = 1.0, share_slope = 0.0;  // the bilinear weights at p that are inside the image
  if (border) {
    // As PyTorch has it, a coordinate moved or touched by the border has no derivative.
    if (!(p > 0.0 && p < last)) slope = 0.0;
    p = p > 0.0 ? (p < last ? p : last) : 0.0;
  } else {
    if (!(p > -1.0 && p < last + 1.0)) return tap;
    if (p < 0.0) {
      share = p + 1.0;
      share_slope = slope;
    } else if (p >= last) {
      share = last + 1.0 - p;
      share_slope = -slope;
    }
  }
  const int64_t low = first_beyond(p, -radius, size), middle = first_beyond(p, 0.0, size),
                high = first_beyond(p, radius, size);
  const double inverse = 1.0 / radius;
  const double before = (double)(middle - low), behind = (double)(high - middle);
  // The triangle, before it is normalised: 1 + (k - p) / radius before, 1 - (k - p) / radius
  // behind.
  const double start[kHalves] = {1.0 + ((double)low - p) * inverse,
                                 1.0 - ((double)middle - p) * inverse};
  const double rise[kHalves] = {inverse, -inverse};
  const double sum = sum_of_line(start[kBefore], rise[kBefore], before) +
                     sum_of_line(start[kBehind], rise[kBehind], behind);
  if (!(sum > 0.0)) return tap;
  tap.edge[0] = (int32_t)low;
  tap.edge[1] = (int32_t)middle;
  tap.edge[2] = (int32_t)high;
  // Derivatives of the triangle: by p -1 / radius and 1 / radius, by radius |k - p| / radius^2.
  const double by_p[kHalves] = {-inverse * slope, inverse * slope};
  const double spread = inverse * inverse * radius_slope;
  const double by_radius[kHalves] = {(p - (double)low) * spread, ((double)middle - p) * spread};
  const double by_radius_step[kHalves] = {-spread, spread};
  const double sum_by_p = before * by_p[kBefore] + behind * by_p[kBehind];
  const double sum_by_radius = sum_of_line(by_radius[kBefore], by_radius_step[kBefore], before) +
                               sum_of_line(by_radius[kBehind], by_radius_step[kBehind], behind);
  const double normal = share / sum;
  for (int half = 0; half < kHalves; ++half) {
    tap.weight[half] = to_line<Real>(normal * start[half], normal * rise[half]);
    // (share u / sum)' = share' u / sum + share (u' - u sum' / sum) / sum
    const double own = share_slope / sum - normal * sum_by_p / sum;
    const double shift_start = own * start[half] + normal * by_p[half];
    const double shift_step = own * rise[half];
    tap.by_shift[half] = to_line<Real>(shift_start, shift_step);
    const double widened = -normal * sum_by_radius / sum;
    tap.by_scale[half] =
        to_line<Real>(base * shift_start + widened * start[half] + normal * by_radius[half],
                      base * shift_step + widened * rise[half] + normal * by_radius_step[half]);
  }
  tap.total = (Real)share;
  tap.total_by_shift = (Real)share_slope;
  tap.total_by_scale = (Real)(base * share_slope);
  return tap;
}

}  // namespace MGNET_ISA
}  // namespace mgnet
