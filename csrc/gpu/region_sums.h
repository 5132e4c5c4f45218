// Backward to the region: a block adds up one tile of one glimpse, all its planes, in fixed order.
#pragma once

#include "gpu/axis.h"

namespace mgnet {
namespace MGNET_ISA {

template <class Real>
struct RegionSumsShared {
  SlopedSample<Real> columns[kTileColumns];
  SlopedSample<Real> rows[kTileRows];
  double sums[kRegionSums][kBlockThreads];
};

template <class Element>
MGNET_DEVICE void add_pixel(const Job& job, const typename Element::Stored* plane, int64_t channel,
                            const SlopedSample<typename Element::Real>& row,
                            const SlopedSample<typename Element::Real>& column, double gradient,
                            double* sums) {
  using Real = typename Element::Real;
  const typename Element::Stored* upper = plane + row.at.first;
  const typename Element::Stored* lower = plane + row.at.second;
  const Real upper_a = Element::get(upper[column.at.first]);
  const Real upper_b = Element::get(upper[column.at.second]);
  const Real lower_a = Element::get(lower[column.at.first]);
  const Real lower_b = Element::get(lower[column.at.second]);
  Real along_x = blend(column.left_slope, blend(row.at.left, upper_a, row.at.right, lower_a),
                       column.right_slope, blend(row.at.left, upper_b, row.at.right, lower_b));
  Real along_y = blend(column.at.left, blend(row.left_slope, upper_a, row.right_slope, lower_a),
                       column.at.right, blend(row.left_slope, upper_b, row.right_slope, lower_b));
  if (job.sampling.scale) {
    const Real scale = (Real)job.sampling.scale[channel], bias = (Real)job.sampling.bias[channel];
    along_x = multiply_add(along_x, scale, row.at.weight * (bias * column.slope));
    along_y = multiply_add(along_y, scale, row.slope * (bias * column.at.weight));
  }
  const double x = gradient * (double)along_x, y = gradient * (double)along_y;
  sums[0] = multiply_add(x, column.by_scale, sums[0]);
  sums[1] = multiply_add(y, row.by_scale, sums[1]);
  sums[2] += x;
  sums[3] += y;
}

// Adds the sums of all threads to those of thread 0, in a fixed order.
MGNET_DEVICE void add_threads(const Block& block, double (*sums)[kBlockThreads]) {
  for (int half = kBlockThreads / 2; half > 0; half /= 2) {
    block.step([&](int thread) {
      if (thread >= half) return;
      for (int k = 0; k < kRegionSums; ++k) sums[k][thread] += sums[k][thread + half];
    });
  }
}

template <class Element>
MGNET_DEVICE void region_sums_block(const Block& block, const GpuRegionSums& call, int64_t unit,
                                    RegionSumsShared<typename Element::Real>& shared) {
  using Real = typename Element::Real;
  const Job& job = call.job;
  const int64_t tiles = call.tiles_high * call.tiles_wide;
  const int64_t tile = unit % tiles, n = unit / tiles;
  const int64_t top = tile / call.tiles_wide * kTileRows;
  const int64_t start = tile % call.tiles_wide * kTileColumns;
  const Region region = read_region(job.regions, n);
  const int64_t image = valid_image(job, n);
  const bool visible = region.finite && image >= 0;
  block.step([&](int thread) {
    if (!visible) return;
    if (thread < kTileColumns) {
      const Axis axis = column_axis(job, region);
      if (start + thread < axis.count) {
        shared.columns[thread] = as_sloped_sample<Real>(axis, start + thread, job.images.stride_w);
      }
    } else if (thread < kTileColumns + kTileRows) {
      const int row = thread - kTileColumns;
      const Axis axis = row_axis(job, region);
      if (top + row < axis.count) {
        shared.rows[row] = as_sloped_sample<Real>(axis, top + row, job.images.stride_h);
      }
    }
  });
  block.step([&](int thread) {
    double sums[kRegionSums] = {0.0, 0.0, 0.0, 0.0};
    if (visible) {
      const typename Element::Stored* pixels =
          (const typename Element::Stored*)job.images.data + image * job.images.stride_n;
      const Glimpses& from = job.glimpses;
      for (int64_t channel = 0; channel < job.images.channels; ++channel) {
        for (int e = thread; e < kTilePixels; e += kBlockThreads) {
          const int row = e / kTileColumns, column = e % kTileColumns;
          const int64_t i = top + row, j = start + column;
          if (i >= from.height || j >= from.width) continue;
          const double gradient = load_sample<double>(
              from.type, from.data,
              n * from.stride_n + channel * from.stride_c + i * from.stride_h + j * from.stride_w);
          add_pixel<Element>(job, pixels + channel * job.images.stride_c, channel, shared.rows[row],
                             shared.columns[column], gradient, sums);
        }
      }
    }
    for (int k = 0; k < kRegionSums; ++k) shared.sums[k][thread] = sums[k];
  });
  add_threads(block, shared.sums);
  block.step([&](int thread) {
    if (thread >= kRegionSums) return;
    const int64_t size = thread % 2 ? job.images.height : job.images.width;
    const double per = pixels_per_position(size, job.sampling.align_corners);
    call.sums[unit * kRegionSums + thread] =
        visible ? shared.sums[thread][0] * per : __builtin_nan("");
  });
}

}  // namespace MGNET_ISA
}  // namespace mgnet
