// The coordinates of a glimpse: where along an axis its samples fall, which two pixels each
// touches, and with which weights. Plain functions of doubles, shared by host and device code.
#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "job.h"

namespace mgnet {
namespace MGNET_ISA {

// A sample along one axis: left * pixel[index] + right * pixel[index + 1], and the derivative of
// that with respect to the source coordinate in pixels. Borders are folded in: index never exceeds
// size - 2, and weights of pixels outside are zero, so that no kernel needs a branch. An axis of
// one pixel has index 0 and right == 0; its kernels read the one pixel twice.
// Real is double or a vector of doubles.
template <class Real>
struct Tap {
  Real index;  // a whole number
  Real left, right;
  Real left_slope, right_slope;
};

// Position of sample i of count in the glimpse, from -1 to 1.
MGNET_INLINE double base_position(int64_t i, int64_t count, bool align_corners) {
  if (align_corners) {
    return count > 1 ? -1.0 + 2.0 * (double)i / (double)(count - 1) : 0.0;
  }
  return (2.0 * (double)i + 1.0) / (double)count - 1.0;
}

// Pixels per unit of position: the derivative of source_pixel with respect to `shift`.
MGNET_INLINE double pixels_per_position(int64_t size, bool align_corners) {
  return 0.5 * (double)(align_corners ? size - 1 : size);
}

// How far a sample lies from the region's centre, and the derivative of that with respect to
// `scale`. An offset of scale * base, the plain one, has the derivative base.
template <class Real>
struct Offset {
  Real position, by_scale;
};

MGNET_INLINE bool clamps(const Sampling& sampling) {
  return sampling.clamp_to_region && !sampling.align_corners;
}

// No sample is nearer to the region's edges than half a pixel.
template <class Real>
MGNET_INLINE Offset<Real> clamped_offset(Real base, double scale, int64_t size) {
  const double reach = (scale < 0.0 ? -scale : scale) - 1.0 / (double)size;
  const double side = scale < 0.0 ? -1.0 : 1.0;
  const Real zero = Real{}, far = zero + reach, edge = zero + side;
  if (!(reach > 0.0)) return {zero, zero};  // less than a pixel: its centre
  const Real plain = scale * base;
  Offset<Real> offset;
  offset.position = plain > far ? far : (plain < -far ? -far : plain);
  offset.by_scale = plain > far ? edge : (plain < -far ? -edge : base);
  return offset;
}

// `offset`: from the region's centre, in the units of `shift`.
template <class Real>
MGNET_INLINE Real source_pixel(Real offset, double shift, int64_t size, bool align_corners) {
  const Real position = offset + shift + 1.0;
  return align_corners ? 0.5 * position * (double)(size - 1)
                       : 0.5 * (position * (double)size - 1.0);
}

// The pixel may be infinite but not NaN. Written with conditional expressions only, which vectors
// of doubles have, too.
template <class Real>
MGNET_INLINE Tap<Real> fold_tap(Real pixel, int64_t size, bool border) {
  const Real zero = Real{}, one = zero + 1.0;
  const Real last = zero + (double)(size - 1);
  const Real low = zero + (border ? 0.0 : -2.0);
  const Real high = border ? last : last + 2.0;
  // As PyTorch has it, a coordinate moved or touched by the border has no derivative.
  const Real edge_slope = border ? zero : one;
  const Real slope = pixel > zero ? (pixel < last ? one : edge_slope) : edge_slope;
  Real p = pixel > low ? pixel : low;
  p = p < high ? p : high;
  // The floor: adding 1.5 * 2^52 leaves no place for a fraction.
  const Real nearest = (p + 0x1.8p52) - 0x1.8p52;
  const Real cell = nearest > p ? nearest - 1.0 : nearest;
  const Real fraction = p - cell;
  const Real last_cell = zero + (double)(size > 1 ? size - 2 : 0);
  const Real left = cell >= zero ? (cell <= last ? 1.0 - fraction : zero) : zero;
  const Real left_slope = cell >= zero ? (cell <= last ? -slope : zero) : zero;
  const Real right = cell >= -one ? (cell < last ? fraction : zero) : zero;
  const Real right_slope = cell >= -one ? (cell < last ? slope : zero) : zero;
  Tap<Real> tap;
  tap.index = cell > zero ? cell : zero;
  tap.index = tap.index < last_cell ? tap.index : last_cell;
  // Beyond either end the one pixel that is inside changes places with the one that is not.
  tap.left = tap.index == cell ? left : right;
  tap.right = tap.index == cell ? right : left;
  tap.left_slope = tap.index == cell ? left_slope : right_slope;
  tap.right_slope = tap.index == cell ? right_slope : left_slope;
  return tap;
}

}  // namespace MGNET_ISA
}  // namespace mgnet
