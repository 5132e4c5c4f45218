// The gradient of the images: a scatter with one owner per (image, channel) plane, which takes the
// glimpses of that image in index order. No atomics, and the same sums for any number of threads.
// A gather per input pixel was slower except for strong magnification.
#pragma once

#include "cpu/filter/scatter.h"
#include "cpu/generic.h"

namespace mgnet {
namespace MGNET_ISA {

template <class Real>
MGNET_INLINE Real* take_image_row_scratch(Arena& arena, const Job& job) {
  return Arena::take<Real>(arena, padded(job.glimpses.width));
}

// Low-precision gradients are summed in a float plane and rounded once.
MGNET_INLINE int64_t plane_scratch_pixels(const Job& job, const ImageGradient& gradient) {
  if (gradient.type == kFloat32 || gradient.type == kFloat64) return 0;
  return job.images.height * job.images.width;
}

template <class Real>
static void scatter_glimpse(const Job& job, int64_t n, int64_t channel, Real* plane,
                            int64_t stride_h, int64_t stride_w, const GlimpseTables<Real>& tables,
                            Real* row) {
  const AxisTable<Real>& columns = tables.columns;
  const AxisTable<Real>& rows = tables.rows;
  const int64_t step_h = tables.source.height > 1 ? stride_h : 0;
  const int64_t step_w = tables.source.width > 1 ? stride_w : 0;
  const Real scale = job.sampling.scale ? (Real)job.sampling.scale[channel] : (Real)1;
  for (int64_t i = 0; i < job.glimpses.height; ++i) {
    load_row(job.glimpses.type, row, job.glimpses.data,
             glimpse_row_offset(job.glimpses, n, channel, i), job.glimpses.stride_w,
             job.glimpses.width);
    Real* upper = plane + rows.index[i] * stride_h;
    Real* lower = upper + step_h;
    const Real upper_weight = rows.left[i] * scale, lower_weight = rows.right[i] * scale;
    for (int64_t j = 0; j < job.glimpses.width; ++j) {
      const int64_t a = columns.index[j] * stride_w, b = a + step_w;
      const Real left = columns.left[j] * row[j], right = columns.right[j] * row[j];
      upper[a] = multiply_add(upper_weight, left, upper[a]);
      upper[b] = multiply_add(upper_weight, right, upper[b]);
      lower[a] = multiply_add(lower_weight, left, lower[a]);
      lower[b] = multiply_add(lower_weight, right, lower[b]);
    }
  }
}

template <class Real>
static void clear_plane(Real* plane, const Source& to) {
  for (int64_t y = 0; y < to.height; ++y) {
    Real* row = plane + y * to.stride_h;
    if (to.stride_w == 1) {
      __builtin_memset(row, 0, (size_t)to.width * sizeof(Real));
    } else {
      for (int64_t x = 0; x < to.width; ++x) row[x * to.stride_w] = (Real)0;
    }
  }
}

template <class Real>
static void backward_image_planes(const Job& job, const ImageGradient& gradient, int64_t first,
                                  int64_t last, void* memory) {
  Arena arena{(char*)memory, 0};
  GlimpseTables<Real> tables = take_glimpse_tables<Real>(arena, job);
  Real* row = take_image_row_scratch<Real>(arena, job);
  ScatterScratch<Real> filter{};
  if (job.sampling.antialias) filter = take_scatter_scratch<Real>(arena, job);
  Real* scratch_plane = Arena::take<Real>(arena, plane_scratch_pixels(job, gradient));
  const bool direct = gradient.type == kFloat32 || gradient.type == kFloat64;
  for (int64_t unit = first; unit < last; ++unit) {
    const int64_t image = unit / job.images.channels, channel = unit % job.images.channels;
    Source to = image_source(job.images, image);
    to.offset = image * gradient.stride_n;
    to.stride_c = gradient.stride_c;
    to.stride_h = gradient.stride_h;
    to.stride_w = gradient.stride_w;
    const int64_t start = to.offset + channel * to.stride_c;
    const int64_t stride_h = direct ? to.stride_h : to.width;
    const int64_t stride_w = direct ? to.stride_w : 1;
    Real* plane = direct ? (Real*)gradient.data + start : scratch_plane;
    Source cleared = to;
    cleared.stride_h = stride_h;
    cleared.stride_w = stride_w;
    clear_plane(plane, cleared);
    const int64_t end = gradient.first_of_image[image + 1];
    for (int64_t k = gradient.first_of_image[image]; k < end; ++k) {
      const int64_t n = gradient.glimpse_order[k];
      const Region region = read_region(job.regions, n);
      if (needs_filter(job, region)) {
        fill_filter_tables(filter.tables, job, region, to);
        scatter_filtered<Real>(job, n, channel, plane, stride_h, stride_w, filter.tables, row,
                               filter.line);
        continue;
      }
      fill_glimpse_tables<Real, false>(tables, job, n);
      if (!tables.region.finite) continue;
      scatter_glimpse<Real>(job, n, channel, plane, stride_h, stride_w, tables, row);
    }
    if (!direct) {
      for (int64_t y = 0; y < to.height; ++y) {
        store_row(gradient.type, scratch_plane + y * to.width, gradient.data,
                  start + y * to.stride_h, to.stride_w, to.width);
      }
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
