// The general path: any element type, strides and size. One unit is one plane (glimpse, channel).
// The faster paths evaluate the same formula from the same tables for particular layouts, and sum
// their gradients in other orders.
#pragma once

#include "cpu/isa.h"
#include "cpu/tables.h"
#include "element.h"
#include "job.h"

namespace mgnet {
namespace MGNET_ISA {

// a * b + c, fused where the instruction set has it (the library call would be slow).
#if defined(__FMA__) || defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
MGNET_INLINE float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
MGNET_INLINE double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
MGNET_INLINE float multiply_add(float a, float b, float c) { return a * b + c; }
MGNET_INLINE double multiply_add(double a, double b, double c) { return a * b + c; }
#endif

// left * a + right * b, in the one order that all paths share.
template <class Real>
MGNET_INLINE Real blend(Real left, Real a, Real right, Real b) {
  return multiply_add(right, b, left * a);
}

template <class Real>
struct PlaneScratch {
  GlimpseTables<Real> tables;
  Real* row;       // a row of the glimpse, or of its incoming gradient
  double* sums_x;  // per column: sum over rows of gradient * d value / d source column
};

template <class Real>
MGNET_INLINE PlaneScratch<Real> take_plane_scratch(Arena& arena, const Job& job) {
  PlaneScratch<Real> scratch;
  scratch.tables = take_glimpse_tables<Real>(arena, job);
  scratch.row = Arena::take<Real>(arena, padded(job.glimpses.width));
  scratch.sums_x = Arena::take<double>(arena, padded(job.glimpses.width));
  return scratch;
}

// The pixels around one row of a plane's taps.
template <class Element>
struct RowPair {
  const typename Element::Stored* upper;
  const typename Element::Stored* lower;
  int64_t stride_w, step_w;

  // An axis of one pixel reads it twice: the second weight is 0.
  MGNET_INLINE RowPair at(const Job& job, const Source& source, int64_t channel, int32_t row) {
    const typename Element::Stored* plane = (const typename Element::Stored*)job.images.data +
                                            source.offset + channel * source.stride_c;
    RowPair pair;
    pair.upper = plane + row * source.stride_h;
    pair.lower = pair.upper + (source.height > 1 ? source.stride_h : 0);
    pair.stride_w = source.stride_w;
    pair.step_w = source.width > 1 ? source.stride_w : 0;
    return pair;
  }
};

MGNET_INLINE int64_t glimpse_row_offset(const Glimpses& g, int64_t n, int64_t channel, int64_t i) {
  return n * g.stride_n + channel * g.stride_c + i * g.stride_h;
}

MGNET_INLINE bool rows_are_floats(const Glimpses& glimpses) {
  return glimpses.type == kFloat32 && glimpses.stride_w == 1;
}

template <class Real>
static void fill_plane(const Job& job, int64_t n, int64_t channel, Real* row, Real value) {
  for (int64_t j = 0; j < job.glimpses.width; ++j) row[j] = value;
  for (int64_t i = 0; i < job.glimpses.height; ++i) {
    store_row(job.glimpses.type, row, job.glimpses.data,
              glimpse_row_offset(job.glimpses, n, channel, i), job.glimpses.stride_w,
              job.glimpses.width);
  }
}

template <class Element>
static void forward_plane(const Job& job, int64_t n, int64_t channel,
                          const PlaneScratch<typename Element::Real>& scratch) {
  using Real = typename Element::Real;
  const AxisTable<Real>& columns = scratch.tables.columns;
  const AxisTable<Real>& rows = scratch.tables.rows;
  const bool normalise = job.sampling.scale != nullptr;
  const Real scale = normalise ? (Real)job.sampling.scale[channel] : (Real)1;
  const Real bias = normalise ? (Real)job.sampling.bias[channel] : (Real)0;
  for (int64_t i = 0; i < job.glimpses.height; ++i) {
    const RowPair<Element> pair =
        RowPair<Element>::at(job, scratch.tables.source, channel, rows.index[i]);
    const Real upper = rows.left[i], lower = rows.right[i];
    for (int64_t j = 0; j < job.glimpses.width; ++j) {
      const int64_t a = columns.index[j] * pair.stride_w, b = a + pair.step_w;
      const Real left =
          blend(upper, Element::get(pair.upper[a]), lower, Element::get(pair.lower[a]));
      const Real right =
          blend(upper, Element::get(pair.upper[b]), lower, Element::get(pair.lower[b]));
      if (normalise) {
        // The bias goes with the weights that are inside: padding stays 0 after normalising.
        scratch.row[j] = multiply_add(columns.right[j] * scale, right,
                                      multiply_add(columns.left[j] * scale, left,
                                                   rows.weight[i] * (bias * columns.weight[j])));
      } else {
        scratch.row[j] = blend(columns.left[j], left, columns.right[j], right);
      }
    }
    store_row(job.glimpses.type, scratch.row, job.glimpses.data,
              glimpse_row_offset(job.glimpses, n, channel, i), job.glimpses.stride_w,
              job.glimpses.width);
  }
}

template <class Element>
static void forward_generic(const Job& job, int64_t first, int64_t last, void* memory) {
  using Real = typename Element::Real;
  Arena arena{(char*)memory, 0};
  PlaneScratch<Real> scratch = take_plane_scratch<Real>(arena, job);
  const int64_t channels = job.images.channels;
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t n = unit / channels, channel = unit % channels;
    if (unit == first || channel == 0) fill_glimpse_tables<Real, false>(scratch.tables, job, n);
    if (scratch.tables.region.finite) {
      forward_plane<Element>(job, n, channel, scratch);
    } else {
      fill_plane<Real>(job, n, channel, scratch.row, (Real)__builtin_nan(""));
    }
  }
}

// Adds up a plane's share of the gradient of its region, in double and in fixed order.
// With value = sum over taps, position = offset(scale) + shift: d / d shift is the derivative with
// respect to the source pixel times pixels_per_position, d / d scale that times by_scale.
template <class Element>
static void backward_region_plane(const Job& job, int64_t n, int64_t channel,
                                  const PlaneScratch<typename Element::Real>& scratch,
                                  double* sums) {
  using Real = typename Element::Real;
  const AxisTable<Real>& columns = scratch.tables.columns;
  const AxisTable<Real>& rows = scratch.tables.rows;
  const Source& source = scratch.tables.source;
  const int64_t width = job.glimpses.width;
  const bool normalise = job.sampling.scale != nullptr;
  const Real scale = normalise ? (Real)job.sampling.scale[channel] : (Real)1;
  const Real bias = normalise ? (Real)job.sampling.bias[channel] : (Real)0;
  for (int64_t j = 0; j < width; ++j) scratch.sums_x[j] = 0.0;
  double scale_y = 0.0, shift_y = 0.0;
  for (int64_t i = 0; i < job.glimpses.height; ++i) {
    load_row(job.glimpses.type, scratch.row, job.glimpses.data,
             glimpse_row_offset(job.glimpses, n, channel, i), job.glimpses.stride_w, width);
    const RowPair<Element> pair = RowPair<Element>::at(job, source, channel, rows.index[i]);
    const Real upper = rows.left[i], lower = rows.right[i];
    const Real upper_slope = rows.left_slope[i], lower_slope = rows.right_slope[i];
    double row_sum = 0.0;
    for (int64_t j = 0; j < width; ++j) {
      const int64_t a = columns.index[j] * pair.stride_w, b = a + pair.step_w;
      const Real upper_a = Element::get(pair.upper[a]), upper_b = Element::get(pair.upper[b]);
      const Real lower_a = Element::get(pair.lower[a]), lower_b = Element::get(pair.lower[b]);
      Real along_x = blend(columns.left_slope[j], blend(upper, upper_a, lower, lower_a),
                           columns.right_slope[j], blend(upper, upper_b, lower, lower_b));
      Real along_y = blend(columns.left[j], blend(upper_slope, upper_a, lower_slope, lower_a),
                           columns.right[j], blend(upper_slope, upper_b, lower_slope, lower_b));
      if (normalise) {
        along_x = multiply_add(along_x, scale, rows.weight[i] * (bias * columns.slope[j]));
        along_y = multiply_add(along_y, scale, rows.slope[i] * (bias * columns.weight[j]));
      }
      scratch.sums_x[j] += (double)scratch.row[j] * (double)along_x;
      row_sum += (double)scratch.row[j] * (double)along_y;
    }
    scale_y += row_sum * rows.by_scale[i];
    shift_y += row_sum;
  }
  double scale_x = 0.0, shift_x = 0.0;
  for (int64_t j = 0; j < width; ++j) {
    scale_x += scratch.sums_x[j] * columns.by_scale[j];
    shift_x += scratch.sums_x[j];
  }
  const double per_x = pixels_per_position(source.width, job.sampling.align_corners);
  const double per_y = pixels_per_position(source.height, job.sampling.align_corners);
  sums[0] = scale_x * per_x;
  sums[1] = scale_y * per_y;
  sums[2] = shift_x * per_x;
  sums[3] = shift_y * per_y;
}

template <class Element>
static void backward_region_generic(const Job& job, int64_t first, int64_t last, double* sums,
                                    void* memory) {
  using Real = typename Element::Real;
  Arena arena{(char*)memory, 0};
  PlaneScratch<Real> scratch = take_plane_scratch<Real>(arena, job);
  const int64_t channels = job.images.channels;
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t n = unit / channels, channel = unit % channels;
    if (unit == first || channel == 0) fill_glimpse_tables<Real, true>(scratch.tables, job, n);
    double* to = sums + unit * kRegionSums;
    if (scratch.tables.region.finite) {
      backward_region_plane<Element>(job, n, channel, scratch, to);
    } else {
      for (int k = 0; k < kRegionSums; ++k) to[k] = __builtin_nan("");
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
