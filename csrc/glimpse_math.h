// The coordinates of a glimpse: where along an axis its samples fall, which two pixels each
// touches, and with which weights. Plain functions of doubles, shared by host and device code.
#pragma once

#include <cstdint>

#include "isa.h"
#include "job.h"

#if defined(__CUDACC__)
#define MGNET_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define MGNET_HOST_DEVICE MGNET_INLINE
#endif

namespace mgnet {
namespace MGNET_ISA {

// A sample along one axis: left * pixel[index] + right * pixel[index + 1], and the derivative of
// that with respect to the source coordinate in pixels. Borders are folded in: index never exceeds
// size - 2, and weights of pixels outside are zero, so that no kernel needs a branch. An axis of
// one pixel has index 0 and right == 0; its kernels read the one pixel twice.
struct Tap {
  int32_t index;
  double left, right;
  double left_slope, right_slope;
};

// Position of sample i of count in the glimpse, from -1 to 1.
MGNET_HOST_DEVICE double base_position(int64_t i, int64_t count, bool align_corners) {
  if (align_corners) {
    return count > 1 ? -1.0 + 2.0 * (double)i / (double)(count - 1) : 0.0;
  }
  return (2.0 * (double)i + 1.0) / (double)count - 1.0;
}

// Pixels per unit of position: the derivative of source_pixel with respect to `shift`.
MGNET_HOST_DEVICE double pixels_per_position(int64_t size, bool align_corners) {
  return 0.5 * (double)(align_corners ? size - 1 : size);
}

MGNET_HOST_DEVICE double source_pixel(double base, double scale, double shift, int64_t size,
                                      bool align_corners) {
  const double position = scale * base + shift + 1.0;
  return align_corners ? 0.5 * position * (double)(size - 1)
                       : 0.5 * (position * (double)size - 1.0);
}

// Branch-free, so that a loop over it vectorises. The pixel may be infinite but not NaN.
MGNET_HOST_DEVICE Tap fold_tap(double pixel, int64_t size, bool border) {
  const double last = (double)(size - 1);
  const double low = border ? 0.0 : -2.0;
  const double high = border ? last : (double)size + 1.0;
  // As PyTorch has it, a coordinate moved or touched by the border has no derivative.
  const double slope = (border && !(pixel > 0.0 && pixel < last)) ? 0.0 : 1.0;
  double p = pixel > low ? pixel : low;
  p = p < high ? p : high;
  const double cell = __builtin_floor(p);
  const double fraction = p - cell;
  const bool left_inside = cell >= 0.0 && cell <= last;
  const bool right_inside = cell >= -1.0 && cell <= last - 1.0;
  const double left = left_inside ? 1.0 - fraction : 0.0;
  const double right = right_inside ? fraction : 0.0;
  const double left_slope = left_inside ? -slope : 0.0;
  const double right_slope = right_inside ? slope : 0.0;
  // Beyond either end the one pixel that is inside changes places with the one that is not.
  const double last_cell = size > 1 ? last - 1.0 : 0.0;
  const bool swap = cell < 0.0 || cell > last_cell;
  double index = cell > 0.0 ? cell : 0.0;
  index = index < last_cell ? index : last_cell;
  Tap tap;
  tap.index = (int32_t)index;
  tap.left = swap ? right : left;
  tap.right = swap ? left : right;
  tap.left_slope = swap ? right_slope : left_slope;
  tap.right_slope = swap ? left_slope : right_slope;
  return tap;
}

}  // namespace MGNET_ISA
}  // namespace mgnet
