// Antialiased glimpses, forward: a block computes one tile of one plane of a glimpse that needs the
// filter, and leaves the others as the bilinear pass before it has written them.
#pragma once

#include "gpu/filter/tile.h"

namespace mgnet {
namespace MGNET_ISA {

enum : int { kForwardStrip = 128 };  // columns of the image at a time

template <class Real>
struct FilteredForwardShared {
  FilterTile<Real> tile;
  Real lines[kTileRows][kForwardStrip];  // the image's rows, filtered
  Real samples[kTilePixels];
};

template <class Element>
MGNET_DEVICE void filtered_forward_block(const Block& block, const GpuForward& call, int64_t unit,
                                         FilteredForwardShared<typename Element::Real>& shared) {
  using Real = typename Element::Real;
  const Job& job = call.job;
  const int64_t channels = job.images.channels, tiles = call.tiles_high * call.tiles_wide;
  const int64_t channel = unit % channels, tile = unit / channels % tiles;
  const int64_t n = unit / channels / tiles;
  const Region region = read_region(job.regions, n);
  const int64_t image = valid_image(job, n);
  if (image < 0 || !needs_filter(job, region)) return;
  const int64_t top = tile / call.tiles_wide * kTileRows;
  const int64_t start = tile % call.tiles_wide * kTileColumns;
  fill_filter_tile(block, job, region, top, start, shared.tile);
  block.step([&](int thread) {
    for (int e = thread; e < kTilePixels; e += kBlockThreads) shared.samples[e] = (Real)0;
  });
  const typename Element::Stored* plane = (const typename Element::Stored*)job.images.data +
                                          image * job.images.stride_n +
                                          channel * job.images.stride_c;
  const int end = shared.tile.last_column;
  for (int first = shared.tile.first_column; first < end; first += kForwardStrip) {
    const int width = end - first < kForwardStrip ? end - first : (int)kForwardStrip;
    block.step([&](int thread) {
      MGNET_ROLLED
      for (int e = thread; e < kTileRows * width; e += kBlockThreads) {
        const int row = e / width, x = e % width;
        const FilterTap<Real>& tap = shared.tile.rows[row];
        const typename Element::Stored* column = plane + (first + x) * job.images.stride_w;
        HalfSums<Real> sums[kHalves];
        for (int half = 0; half < kHalves; ++half) {
          sums[half] = half_of_column<Element>(column, job.images.stride_h, tap.edge[half],
                                               tap.edge[half + 1]);
        }
        shared.lines[row][x] = weighted(tap.weight, sums);
      }
    });
    block.step([&](int thread) {
      MGNET_ROLLED
      for (int e = thread; e < kTilePixels; e += kBlockThreads) {
        const FilterTap<Real>& tap = shared.tile.columns[e % kTileColumns];
        const Real* line = shared.lines[e / kTileColumns];
        Real sample = shared.samples[e];
        for (int half = 0; half < kHalves; ++half) {
          const Part part = part_of_half(tap, half, first, first + width);
          HalfSums<Real> sums = {(Real)0, (Real)0};
          for (int x = part.begin; x < part.end; ++x) {
            add_to(sums, line[x - first], x - tap.edge[half]);
          }
          sample += weighted(tap.weight[half], sums);
        }
        shared.samples[e] = sample;
      }
    });
  }
  const bool normalise = job.sampling.scale != nullptr;
  const Real scale = normalise ? (Real)job.sampling.scale[channel] : (Real)1;
  const Real bias = normalise ? (Real)job.sampling.bias[channel] : (Real)0;
  block.step([&](int thread) {
    for (int e = thread; e < kTilePixels; e += kBlockThreads) {
      const int row = e / kTileColumns, column = e % kTileColumns;
      const int64_t i = top + row, j = start + column;
      if (i >= job.glimpses.height || j >= job.glimpses.width) continue;
      const Real total = shared.tile.rows[row].total * shared.tile.columns[column].total;
      const Real sample =
          normalise ? multiply_add(scale, shared.samples[e], bias * total) : shared.samples[e];
      const Glimpses& to = job.glimpses;
      store_sample<Real>(
          to.type, to.data,
          n * to.stride_n + channel * to.stride_c + i * to.stride_h + j * to.stride_w, sample);
    }
  });
}

}  // namespace MGNET_ISA
}  // namespace mgnet
