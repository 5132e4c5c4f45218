// Backward to the image: a gather. A block owns one tile of one plane, and takes the glimpses of
// its image in index order, so that sums are the same at every run and no atomics are needed. The
// map is separable and monotone: the samples that touch a row or column of pixels are consecutive.
#pragma once

#include "gpu/axis.h"

namespace mgnet {
namespace MGNET_ISA {

enum : int { kChunkRows = 32, kChunkColumns = 64 };

// 32 bits each, or registers run out: no side is longer.
struct Touching {  // samples [first, last)
  int first, last;
};

// How many samples are `before` something, in the direction in which coordinates grow: the first
// ones are, the others are not.
template <class Before>
MGNET_DEVICE int samples_before(const Axis& axis, const Before& before) {
  int low = 0, high = (int)axis.count;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (before(axis.scale < 0.0 ? (int)axis.count - 1 - middle : middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The samples from `begin` to `end` - 1 in that direction.
MGNET_DEVICE Touching in_index_order(const Axis& axis, int begin, int end) {
  const int count = (int)axis.count;
  if (axis.scale < 0.0) return {count - end, count - begin};
  return {begin, end};
}

// Which samples touch a pixel, and with which weights: of bilinear glimpses.
template <class Real>
struct BilinearWeights {
  using Sum = Real;
  int index;  // of the pixel that `left` is for; `right` is for the next one
  Real left, right;

  // Samples that touch any of the pixels from first to last - 1.
  MGNET_DEVICE Touching touching(const Axis& axis, int first, int last) {
    const auto before = [&](int pixel) {
      return samples_before(axis, [&](int i) { return (int)tap_of(axis, i).index < pixel; });
    };
    return in_index_order(axis, before(first - 1), before(last));
  }
  MGNET_DEVICE BilinearWeights of(const Axis& axis, int64_t i) {
    const Tap<double> tap = tap_of(axis, i);
    return {(int)tap.index, (Real)tap.left, (Real)tap.right};
  }
  MGNET_DEVICE Real at(const BilinearWeights& weights, int pixel) {
    return weights.index == pixel       ? weights.left
           : weights.index == pixel - 1 ? weights.right
                                        : (Real)0;
  }
};

template <class Weights>
struct ImageGradientShared {
  typename Weights::Sum sums[kTilePixels];
  Touching rows[kTileRows], columns[kTileColumns];
  Touching tile_rows, tile_columns;
  Weights row_weights[kChunkRows];
  Weights column_weights[kChunkColumns];
};

MGNET_DEVICE int larger(int a, int b) { return a > b ? a : b; }
MGNET_DEVICE int smaller(int a, int b) { return a < b ? a : b; }

template <class Weights>
MGNET_DEVICE void gather_glimpse(const Block& block, const GpuImageGradient& call, int64_t n,
                                 int64_t channel, int top, int start,
                                 ImageGradientShared<Weights>& shared) {
  using Real = typename Weights::Sum;
  const Job& job = call.job;
  const Region region = read_region(job.regions, n);
  if (!region.finite) return;
  const Axis rows = row_axis(job, region), columns = column_axis(job, region);
  const int bottom = smaller(top + kTileRows, (int)rows.size);
  const int end = smaller(start + kTileColumns, (int)columns.size);
  block.step([&](int thread) {
    if (thread < kTileColumns) {
      const int x = start + thread;
      if (x < end) shared.columns[thread] = Weights::touching(columns, x, x + 1);
    } else if (thread < kTileColumns + kTileRows) {
      const int y = top + thread - kTileColumns;
      if (y < bottom) shared.rows[thread - kTileColumns] = Weights::touching(rows, y, y + 1);
    } else if (thread == kTileColumns + kTileRows) {
      shared.tile_rows = Weights::touching(rows, top, bottom);
    } else if (thread == kTileColumns + kTileRows + 1) {
      shared.tile_columns = Weights::touching(columns, start, end);
    }
  });
  const Touching all_rows = shared.tile_rows, all_columns = shared.tile_columns;
  const Glimpses& from = job.glimpses;
  const int64_t plane = n * from.stride_n + channel * from.stride_c;
  for (int i0 = all_rows.first; i0 < all_rows.last; i0 += kChunkRows) {
    for (int j0 = all_columns.first; j0 < all_columns.last; j0 += kChunkColumns) {
      const int i1 = smaller(i0 + kChunkRows, all_rows.last);
      const int j1 = smaller(j0 + kChunkColumns, all_columns.last);
      block.step([&](int thread) {
        if (thread < kChunkColumns) {
          if (j0 + thread < j1) {
            shared.column_weights[thread] = Weights::of(columns, j0 + thread);
          }
        } else if (thread < kChunkColumns + kChunkRows) {
          const int row = thread - kChunkColumns;
          if (i0 + row < i1) shared.row_weights[row] = Weights::of(rows, i0 + row);
        }
      });
      block.step([&](int thread) {
        MGNET_ROLLED
        for (int e = thread; e < kTilePixels; e += kBlockThreads) {
          const int y = top + e / kTileColumns, x = start + e % kTileColumns;
          if (y >= bottom || x >= end) continue;
          const Touching own_rows = shared.rows[e / kTileColumns];
          const Touching own_columns = shared.columns[e % kTileColumns];
          Real sum = shared.sums[e];
          MGNET_ROLLED
          for (int i = larger(own_rows.first, i0); i < smaller(own_rows.last, i1); ++i) {
            const Real row_weight = Weights::at(shared.row_weights[i - i0], y);
            MGNET_ROLLED
            for (int j = larger(own_columns.first, j0); j < smaller(own_columns.last, j1); ++j) {
              const Real gradient = load_sample<Real>(
                  from.type, from.data, plane + i * from.stride_h + j * from.stride_w);
              sum = multiply_add(row_weight,
                                 Weights::at(shared.column_weights[j - j0], x) * gradient, sum);
            }
          }
          shared.sums[e] = sum;
        }
      });
    }
  }
}

template <class Weights>
MGNET_DEVICE void image_gradient_block(const Block& block, const GpuImageGradient& call,
                                       int64_t unit, ImageGradientShared<Weights>& shared) {
  using Real = typename Weights::Sum;
  const Job& job = call.job;
  const int64_t tiles = call.tiles_high * call.tiles_wide;
  const int64_t tile = unit % tiles, channel = unit / tiles % job.images.channels;
  const int64_t image = unit / tiles / job.images.channels;
  const int top = (int)(tile / call.tiles_wide * kTileRows);
  const int start = (int)(tile % call.tiles_wide * kTileColumns);
  block.step([&](int thread) {
    for (int e = thread; e < kTilePixels; e += kBlockThreads) shared.sums[e] = (Real)0;
  });
  const bool grouped = call.to.first_of_image != nullptr;
  const int64_t first = grouped ? call.to.first_of_image[image] : image;
  const int64_t last =
      grouped ? call.to.first_of_image[image + 1] : (image < job.regions.count ? image + 1 : image);
  for (int64_t k = first; k < last; ++k) {
    const int64_t n = grouped ? call.to.glimpse_order[k] : k;
    gather_glimpse(block, call, n, channel, top, start, shared);
  }
  const Real scale = job.sampling.scale ? (Real)job.sampling.scale[channel] : (Real)1;
  block.step([&](int thread) {
    for (int e = thread; e < kTilePixels; e += kBlockThreads) {
      const int64_t y = top + e / kTileColumns, x = start + e % kTileColumns;
      if (y >= job.images.height || x >= job.images.width) continue;
      store_sample<Real>(call.to.type, call.to.data,
                         image * call.to.stride_n + channel * call.to.stride_c +
                             y * call.to.stride_h + x * call.to.stride_w,
                         shared.sums[e] * scale);
    }
  });
}

}  // namespace MGNET_ISA
}  // namespace mgnet
