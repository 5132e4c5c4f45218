// Antialiased glimpses, backward to the region: a block writes the sums of one tile of a glimpse
// that needs the filter, all its planes, over those that the bilinear pass before it has written.
#pragma once

#include "gpu/filter/tile.h"
#include "gpu/region_sums.h"

namespace mgnet {
namespace MGNET_ISA {

enum : int { kSumsStrip = 64 };  // columns of the image at a time

// The image's rows, filtered by weight and by what its derivatives are.
template <class Real>
struct FilteredLines {
  Real weight[kTileRows][kSumsStrip];
  Real by_scale[kTileRows][kSumsStrip];
  Real by_shift[kTileRows][kSumsStrip];
};

template <class Real>
struct FilteredSumsShared {
  FilterTile<Real> tile;
  FilteredLines<Real> lines;
  double sums[kRegionSums][kBlockThreads];
};

// What a sample adds: its gradient times the derivatives of its part in a strip.
template <class Real>
MGNET_DEVICE void add_part(const FilterTile<Real>& tile, const FilteredLines<Real>& lines, int row,
                           int column, int first, int last, double gradient, double* sums) {
  const FilterTap<Real>& tap = tile.columns[column];
  for (int half = 0; half < kHalves; ++half) {
    const Part part = part_of_half(tap, half, first, last);
    HalfSums<Real> plain = {(Real)0, (Real)0}, by_scale = plain, by_shift = plain;
    for (int x = part.begin; x < part.end; ++x) {
      const int k = x - tap.edge[half];
      add_to(plain, lines.weight[row][x - first], k);
      add_to(by_scale, lines.by_scale[row][x - first], k);
      add_to(by_shift, lines.by_shift[row][x - first], k);
    }
    sums[0] += gradient * (double)weighted(tap.by_scale[half], plain);
    sums[1] += gradient * (double)weighted(tap.weight[half], by_scale);
    sums[2] += gradient * (double)weighted(tap.by_shift[half], plain);
    sums[3] += gradient * (double)weighted(tap.weight[half], by_shift);
  }
}

// What it adds through the bias, which goes with the sums of the weights.
template <class Real>
MGNET_DEVICE void add_totals(const FilterTap<Real>& row, const FilterTap<Real>& column,
                             double gradient, double* sums) {
  sums[0] += gradient * (double)row.total * (double)column.total_by_scale;
  sums[1] += gradient * (double)row.total_by_scale * (double)column.total;
  sums[2] += gradient * (double)row.total * (double)column.total_by_shift;
  sums[3] += gradient * (double)row.total_by_shift * (double)column.total;
}

template <class Element>
MGNET_DEVICE void filtered_sums_block(const Block& block, const GpuRegionSums& call, int64_t unit,
                                      FilteredSumsShared<typename Element::Real>& shared) {
  using Real = typename Element::Real;
  const Job& job = call.job;
  const int64_t tiles = call.tiles_high * call.tiles_wide;
  const int64_t tile = unit % tiles, n = unit / tiles;
  const Region region = read_region(job.regions, n);
  const int64_t image = valid_image(job, n);
  if (image < 0 || !needs_filter(job, region)) return;
  const int64_t top = tile / call.tiles_wide * kTileRows;
  const int64_t start = tile % call.tiles_wide * kTileColumns;
  fill_filter_tile(block, job, region, top, start, shared.tile);
  block.step([&](int thread) {
    for (int k = 0; k < kRegionSums; ++k) shared.sums[k][thread] = 0.0;
  });
  const Glimpses& from = job.glimpses;
  const auto gradient_at = [&](int64_t channel, int e) {
    const int64_t i = top + e / kTileColumns, j = start + e % kTileColumns;
    if (i >= from.height || j >= from.width) return 0.0;
    return load_sample<double>(
        from.type, from.data,
        n * from.stride_n + channel * from.stride_c + i * from.stride_h + j * from.stride_w);
  };
  for (int64_t channel = 0; channel < job.images.channels; ++channel) {
    const typename Element::Stored* plane = (const typename Element::Stored*)job.images.data +
                                            image * job.images.stride_n +
                                            channel * job.images.stride_c;
    const double scale = job.sampling.scale ? job.sampling.scale[channel] : 1.0;
    if (job.sampling.scale) {
      block.step([&](int thread) {
        double sums[kRegionSums] = {0.0, 0.0, 0.0, 0.0};
        for (int e = thread; e < kTilePixels; e += kBlockThreads) {
          add_totals(shared.tile.rows[e / kTileColumns], shared.tile.columns[e % kTileColumns],
                     gradient_at(channel, e) * job.sampling.bias[channel], sums);
        }
        for (int k = 0; k < kRegionSums; ++k) shared.sums[k][thread] += sums[k];
      });
    }
    const int end = shared.tile.last_column;
    for (int first = shared.tile.first_column; first < end; first += kSumsStrip) {
      const int width = end - first < kSumsStrip ? end - first : (int)kSumsStrip;
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
          shared.lines.weight[row][x] = weighted(tap.weight, sums);
          shared.lines.by_scale[row][x] = weighted(tap.by_scale, sums);
          shared.lines.by_shift[row][x] = weighted(tap.by_shift, sums);
        }
      });
      block.step([&](int thread) {
        double sums[kRegionSums] = {0.0, 0.0, 0.0, 0.0};
        MGNET_ROLLED
        for (int e = thread; e < kTilePixels; e += kBlockThreads) {
          add_part(shared.tile, shared.lines, e / kTileColumns, e % kTileColumns, first,
                   first + width, gradient_at(channel, e) * scale, sums);
        }
        for (int k = 0; k < kRegionSums; ++k) shared.sums[k][thread] += sums[k];
      });
    }
  }
  add_threads(block, shared.sums);
  block.step([&](int thread) {
    if (thread < kRegionSums) {
      call.sums[unit * kRegionSums + thread] = shared.sums[thread][0];
    }
  });
}

}  // namespace MGNET_ISA
}  // namespace mgnet
