// Forward pass: a block computes one tile of up to kPlanesOfBlock planes of one glimpse.
#pragma once

#include "gpu/logits.h"

namespace mgnet {
namespace MGNET_ISA {

template <class Real>
struct ForwardShared {
  Sample<Real> columns[kTileColumns];
  Sample<Real> rows[kTileRows];
  Region region;
  int64_t image;
};

template <class Element>
MGNET_DEVICE typename Element::Real sample_pixel(const typename Element::Stored* plane,
                                                 const Sample<typename Element::Real>& row,
                                                 const Sample<typename Element::Real>& column,
                                                 const Sampling& sampling, int64_t channel) {
  using Real = typename Element::Real;
  const typename Element::Stored* upper = plane + row.first;
  const typename Element::Stored* lower = plane + row.second;
  const Real left = blend(row.left, (Real)Element::get(upper[column.first]), row.right,
                          (Real)Element::get(lower[column.first]));
  const Real right = blend(row.left, (Real)Element::get(upper[column.second]), row.right,
                           (Real)Element::get(lower[column.second]));
  if (!sampling.scale) return blend(column.left, left, column.right, right);
  // The bias goes with the weights that are inside: padding stays 0 after normalising.
  const Real scale = (Real)sampling.scale[channel], bias = (Real)sampling.bias[channel];
  return multiply_add(column.right * scale, right,
                      multiply_add(column.left * scale, left, row.weight * (bias * column.weight)));
}

template <class Element>
MGNET_DEVICE void forward_block(const Block& block, const GpuForward& call, int64_t unit,
                                ForwardShared<typename Element::Real>& shared) {
  using Real = typename Element::Real;
  const Job& job = call.job;
  const int64_t group = unit % call.plane_groups;
  const int64_t tiles = call.tiles_high * call.tiles_wide;
  const int64_t tile = unit / call.plane_groups % tiles;
  const int64_t n = unit / call.plane_groups / tiles;
  const int64_t top = tile / call.tiles_wide * kTileRows;
  const int64_t start = tile % call.tiles_wide * kTileColumns;
  const int64_t first_plane = group * kPlanesOfBlock;
  const int64_t planes_left = job.images.channels - first_plane;
  const int planes = planes_left < kPlanesOfBlock ? (int)planes_left : (int)kPlanesOfBlock;

  block.step([&](int thread) {
    if (thread != 0) return;
    shared.image = valid_image(job, n);
    if (call.logits.data) {
      shared.region = rounded_region(squash(call.logits, n), job.regions.type);
      if (tile == 0 && group == 0) write_region(job.regions, n, shared.region);
    } else {
      shared.region = read_region(job.regions, n);
    }
  });
  const bool visible = shared.region.finite && shared.image >= 0;
  block.step([&](int thread) {
    if (!visible) return;
    if (thread < kTileColumns) {
      const Axis axis = column_axis(job, shared.region);
      if (start + thread < axis.count) {
        shared.columns[thread] =
            as_sample<Real>(tap_of(axis, start + thread), axis.size, job.images.stride_w);
      }
    } else if (thread < kTileColumns + kTileRows) {
      const int row = thread - kTileColumns;
      const Axis axis = row_axis(job, shared.region);
      if (top + row < axis.count) {
        shared.rows[row] = as_sample<Real>(tap_of(axis, top + row), axis.size, job.images.stride_h);
      }
    }
  });
  block.step([&](int thread) {
    const typename Element::Stored* image =
        (const typename Element::Stored*)job.images.data + shared.image * job.images.stride_n;
    for (int e = thread; e < planes * kTilePixels; e += kBlockThreads) {
      const int plane = call.channels_side_by_side ? e % planes : e / kTilePixels;
      const int pixel = call.channels_side_by_side ? e / planes : e % kTilePixels;
      const int row = pixel / kTileColumns, column = pixel % kTileColumns;
      const int64_t i = top + row, j = start + column, channel = first_plane + plane;
      if (i >= job.glimpses.height || j >= job.glimpses.width) continue;
      Real value = (Real)__builtin_nan("");
      if (visible) {
        value = sample_pixel<Element>(image + channel * job.images.stride_c, shared.rows[row],
                                      shared.columns[column], job.sampling, channel);
      }
      const Glimpses& to = job.glimpses;
      store_sample<Real>(
          to.type, to.data,
          n * to.stride_n + channel * to.stride_c + i * to.stride_h + j * to.stride_w, value);
    }
  });
}

}  // namespace MGNET_ISA
}  // namespace mgnet
