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

template <class Real>
struct Weights {
  int index;  // of the pixel that `left` is for; `right` is for the next one
  Real left, right;
};

template <class Real>
struct ImageGradientShared {
  Real sums[kTilePixels];
  Touching rows[kTileRows], columns[kTileColumns];
  Touching tile_rows, tile_columns;
  Weights<Real> row_weights[kChunkRows];
  Weights<Real> column_weights[kChunkColumns];
};

// The first sample, in the direction in which indices grow, whose index is at least `pixel`.
MGNET_DEVICE int samples_before(const Axis& axis, int pixel) {
  int low = 0, high = (int)axis.count;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    const int i = axis.scale < 0.0 ? (int)axis.count - 1 - middle : middle;
    if ((int)tap_of(axis, i).index < pixel) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Samples that touch any of the pixels from first to last - 1.
MGNET_DEVICE Touching touching(const Axis& axis, int first, int last) {
  const int begin = samples_before(axis, first - 1), end = samples_before(axis, last);
  const int count = (int)axis.count;
  if (axis.scale < 0.0) return {count - end, count - begin};
  return {begin, end};
}

MGNET_DEVICE int larger(int a, int b) { return a > b ? a : b; }
MGNET_DEVICE int smaller(int a, int b) { return a < b ? a : b; }

template <class Real>
MGNET_DEVICE Weights<Real> weights_of(const Axis& axis, int64_t i) {
  const Tap<double> tap = tap_of(axis, i);
  return {(int)tap.index, (Real)tap.left, (Real)tap.right};
}

template <class Real>
MGNET_DEVICE Real weight_at(const Weights<Real>& weights, int pixel) {
  return weights.index == pixel       ? weights.left
         : weights.index == pixel - 1 ? weights.right
                                      : (Real)0;
}

template <class Real>
MGNET_DEVICE void gather_glimpse(const Block& block, const GpuImageGradient& call, int64_t n,
                                 int64_t channel, int top, int start,
                                 ImageGradientShared<Real>& shared) {
  const Job& job = call.job;
  const Region region = read_region(job.regions, n);
  if (!region.finite) return;
  const Axis rows = row_axis(job, region), columns = column_axis(job, region);
  const int bottom = smaller(top + kTileRows, (int)rows.size);
  const int end = smaller(start + kTileColumns, (int)columns.size);
  block.step([&](int thread) {
    if (thread < kTileColumns) {
      const int x = start + thread;
      if (x < end) shared.columns[thread] = touching(columns, x, x + 1);
    } else if (thread < kTileColumns + kTileRows) {
      const int y = top + thread - kTileColumns;
      if (y < bottom) shared.rows[thread - kTileColumns] = touching(rows, y, y + 1);
    } else if (thread == kTileColumns + kTileRows) {
      shared.tile_rows = touching(rows, top, bottom);
    } else if (thread == kTileColumns + kTileRows + 1) {
      shared.tile_columns = touching(columns, start, end);
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
            shared.column_weights[thread] = weights_of<Real>(columns, j0 + thread);
          }
        } else if (thread < kChunkColumns + kChunkRows) {
          const int row = thread - kChunkColumns;
          if (i0 + row < i1) shared.row_weights[row] = weights_of<Real>(rows, i0 + row);
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
            const Real row_weight = weight_at(shared.row_weights[i - i0], y);
            MGNET_ROLLED
            for (int j = larger(own_columns.first, j0); j < smaller(own_columns.last, j1); ++j) {
              const Real gradient = load_sample<Real>(
                  from.type, from.data, plane + i * from.stride_h + j * from.stride_w);
              sum = multiply_add(row_weight, weight_at(shared.column_weights[j - j0], x) * gradient,
                                 sum);
            }
          }
          shared.sums[e] = sum;
        }
      });
    }
  }
}

template <class Real>
MGNET_DEVICE void image_gradient_block(const Block& block, const GpuImageGradient& call,
                                       int64_t unit, ImageGradientShared<Real>& shared) {
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
    gather_glimpse<Real>(block, call, n, channel, top, start, shared);
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
