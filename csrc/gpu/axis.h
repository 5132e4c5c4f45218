// Coordinates of a tile, computed once and shared by the threads of a block.
#pragma once

#include "element.h"
#include "glimpse_math.h"
#include "gpu/block.h"
#include "gpu/calls.h"
#include "region.h"

namespace mgnet {
namespace MGNET_ISA {

// What the samples of one glimpse along one axis have in common.
struct Axis {
  double scale, shift;
  int64_t size, count;
  bool align_corners, border, clamped;
};

MGNET_DEVICE Axis column_axis(const Job& job, const Region& region) {
  return {region.scale_x,
          region.x,
          job.images.width,
          job.glimpses.width,
          job.sampling.align_corners,
          job.sampling.padding == kBorder,
          clamps(job.sampling)};
}

MGNET_DEVICE Axis row_axis(const Job& job, const Region& region) {
  return {region.scale_y,
          region.y,
          job.images.height,
          job.glimpses.height,
          job.sampling.align_corners,
          job.sampling.padding == kBorder,
          clamps(job.sampling)};
}

MGNET_DEVICE Offset<double> offset_of(const Axis& axis, int64_t i) {
  const double base = base_position(i, axis.count, axis.align_corners);
  if (axis.clamped) return clamped_offset(base, axis.scale, axis.size);
  return {axis.scale * base, base};
}

MGNET_DEVICE Tap<double> tap_at(const Axis& axis, const Offset<double>& offset) {
  const double pixel = source_pixel(offset.position, axis.shift, axis.size, axis.align_corners);
  return fold_tap(pixel, axis.size, axis.border);
}

MGNET_DEVICE Tap<double> tap_of(const Axis& axis, int64_t i) {
  return tap_at(axis, offset_of(axis, i));
}

// One sample as the pixels are blended with it. Offsets are of its two pixels, in elements; an axis
// of one pixel reads it twice, the second time with weight 0.
template <class Real>
struct Sample {
  int64_t first, second;
  Real left, right, weight;
};

template <class Real>
struct SlopedSample {
  Sample<Real> at;
  Real left_slope, right_slope, slope;
  double by_scale;  // derivative of its position by the scale of the region
};

template <class Real>
MGNET_DEVICE Sample<Real> as_sample(const Tap<double>& tap, int64_t size, int64_t stride) {
  const int64_t first = (int64_t)tap.index * stride;
  return {first, first + (size > 1 ? stride : 0), (Real)tap.left, (Real)tap.right,
          (Real)(tap.left + tap.right)};
}

template <class Real>
MGNET_DEVICE SlopedSample<Real> as_sloped_sample(const Axis& axis, int64_t i, int64_t stride) {
  const Offset<double> offset = offset_of(axis, i);
  const Tap<double> tap = tap_at(axis, offset);
  return {as_sample<Real>(tap, axis.size, stride), (Real)tap.left_slope, (Real)tap.right_slope,
          (Real)(tap.left_slope + tap.right_slope), offset.by_scale};
}

// The image of a glimpse, or -1: checking on the host would wait for the device.
MGNET_DEVICE int64_t valid_image(const Job& job, int64_t n) {
  const int64_t image = image_of_glimpse(job.regions, n);
  return image >= 0 && image < job.images.count ? image : -1;
}

MGNET_DEVICE double read_number(const void* data, int type, int64_t at) {
  return type == kFloat64 ? ((const double*)data)[at] : (double)((const float*)data)[at];
}

MGNET_DEVICE void write_number(void* data, int type, int64_t at, double value) {
  if (type == kFloat64) {
    ((double*)data)[at] = value;
  } else {
    ((float*)data)[at] = (float)value;
  }
}

// Doubles reach the 16-bit types by way of float.
template <class Real>
MGNET_DEVICE void store_sample(int type, void* data, int64_t at, Real value) {
  switch (type) {
    case kFloat32:
      return store_row_as<Float32>(&value, data, at, 1, 1);
    case kFloat64:
      return store_row_as<Float64>(&value, data, at, 1, 1);
    case kFloat16:
      return store_row_as<Float16>(&value, data, at, 1, 1);
    default:
      return store_row_as<BFloat16>(&value, data, at, 1, 1);
  }
}

template <class Real>
MGNET_DEVICE Real load_sample(int type, const void* data, int64_t at) {
  Real value;
  switch (type) {
    case kFloat32:
      load_row_as<Float32>(&value, data, at, 1, 1);
      return value;
    case kFloat64:
      load_row_as<Float64>(&value, data, at, 1, 1);
      return value;
    case kFloat16:
      load_row_as<Float16>(&value, data, at, 1, 1);
      return value;
    default:
      load_row_as<BFloat16>(&value, data, at, 1, 1);
      return value;
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
