// Images whose rows are contiguous (NCHW): the fast path of training.
//
// The vectors of a block (eight or sixteen outputs of a row) need the same permutes and weights in
// every row, so a block runs down a tile of rows before the next block begins, and everything that
// belongs to the columns stays in registers. The tile's source rows should stay in the first-level
// cache for the neighbouring blocks, and be few enough streams for the processor to prefetch.
#pragma once

#include "cpu/generic.h"

namespace mgnet {
namespace MGNET_ISA {

// A quarter of a first-level cache. Below four rows the set-up of the blocks costs too much.
enum { kLeastTileRows = 4, kMostTileRows = 32, kTileBytes = 8192 };

// A call that reads more than this finds little of it in a cache, and a block skips from row to row
// too irregularly for the hardware prefetcher, so the kernel prefetches the rows of the next
// tile. If the caches hold the images, prefetching only costs time (5 to 30 %).
#ifndef MGNET_CACHED_BYTES  // the test programs, whose problems are small, set a small one
#define MGNET_CACHED_BYTES (12 << 20)
#endif
enum { kCachedBytes = MGNET_CACHED_BYTES, kLineBytes = 64 };

// The pixels of a row whose cache lines no earlier block has prefetched.
struct Ahead {
  int32_t first, last;
};

template <class Lanes>
struct PlanarScratch {
  GlimpseTables<float> tables;
  typename Lanes::Plan* plans;
  int32_t* starts;      // first output of each block; the last block overlaps the one before
  Ahead* ahead;         // per block
  int64_t* row_offset;  // tables.rows.index times the stride; past the end, that of the last row
  float* by_scale;      // tables.rows.by_scale, as float
  float* tile;          // rows of the glimpse that do not lie in memory as float
  double* sums_x;       // per column
  double* sums_y;       // per lane
  double* sums_y_scaled;
  int64_t blocks;
  int64_t tile_rows;
  bool asks_ahead;
};

template <class Lanes>
MGNET_INLINE PlanarScratch<Lanes> take_planar_scratch(Arena& arena, const Job& job) {
  const int64_t w = job.glimpses.width, h = job.glimpses.height;
  PlanarScratch<Lanes> scratch;
  scratch.tables = take_glimpse_tables<float>(arena, job);
  scratch.blocks = (w + Lanes::kCount - 1) / Lanes::kCount;
  scratch.plans = Arena::take<typename Lanes::Plan>(arena, scratch.blocks);
  scratch.starts = Arena::take<int32_t>(arena, scratch.blocks);
  scratch.ahead = Arena::take<Ahead>(arena, scratch.blocks);
  scratch.row_offset = Arena::take<int64_t>(arena, h + kMostTileRows);
  scratch.by_scale = Arena::take<float>(arena, h);
  scratch.tile = Arena::take<float>(arena, kMostTileRows * padded(w));
  scratch.sums_x = Arena::take<double>(arena, padded(w));
  scratch.sums_y = Arena::take<double>(arena, Lanes::kCount);
  scratch.sums_y_scaled = Arena::take<double>(arena, Lanes::kCount);
  return scratch;
}

template <class Lanes>
MGNET_INLINE bool planar_takes(const Job& job) {
  if (job.images.type != Lanes::kType || job.glimpses.width < Lanes::kCount) return false;
  return job.images.stride_w == 1 && job.images.width > 1;
}

// Bytes of a plane that the glimpse reads, by the extent of its taps.
template <class Lanes>
MGNET_INLINE int64_t source_bytes(const GlimpseTables<float>& tables, const Glimpses& glimpses) {
  const int32_t* column = tables.columns.index;
  const int32_t* row = tables.rows.index;
  const int64_t w = glimpses.width, h = glimpses.height;
  const int64_t columns_seen = larger(column[0], column[w - 1]) - smaller(column[0], column[w - 1]);
  const int64_t rows_seen = larger(row[0], row[h - 1]) - smaller(row[0], row[h - 1]);
  // A row of the glimpse reads two rows of the image, or fewer where they overlap.
  return (columns_seen + 2) * (int64_t)sizeof(typename Lanes::Pixel) *
         smaller(rows_seen + 2, 2 * h);
}

// As many rows as leave their source pixels within kTileBytes: few where a wide image is strided
// through, many where a small part of it is looked at closely. It depends on the glimpse alone, and
// so does the order of the sums.
MGNET_INLINE int64_t rows_of_tile(int64_t bytes_of_plane, int64_t height) {
  const int64_t rows = kTileBytes * height / bytes_of_plane;
  return smaller(larger(rows, kLeastTileRows), kMostTileRows);
}

template <class Lanes>
static void plan_ahead(PlanarScratch<Lanes>& scratch, int64_t w, int64_t h) {
  const int32_t* index = scratch.tables.columns.index;
  const int32_t line = kLineBytes / (int32_t)sizeof(typename Lanes::Pixel);
  const bool mirrored = index[w - 1] < index[0];
  int32_t asked = index[mirrored ? w - 1 : 0];
  for (int64_t step = 0; step < scratch.blocks; ++step) {
    const int64_t k = mirrored ? scratch.blocks - 1 - step : step;
    const int32_t last = index[scratch.starts[k] + (mirrored ? 0 : Lanes::kCount - 1)] + 2;
    scratch.ahead[k].first = asked;
    if (asked < last) asked += (last - asked + line - 1) / line * line;
    scratch.ahead[k].last = asked;
  }
  for (int64_t i = h; i < h + kMostTileRows; ++i) scratch.row_offset[i] = scratch.row_offset[h - 1];
}

template <class Lanes>
MGNET_INLINE void ask_for(const typename Lanes::Pixel* row, const Ahead& ahead) {
  for (int32_t at = ahead.first; at < ahead.last;
       at += kLineBytes / (int32_t)sizeof(typename Lanes::Pixel)) {
    __builtin_prefetch(row + at);
  }
}

template <class Lanes, bool kSlopes>
static void fill_planar_tables(PlanarScratch<Lanes>& scratch, const Job& job, int64_t n) {
  fill_glimpse_tables<float, kSlopes>(scratch.tables, job, n);
  const int64_t w = job.glimpses.width, h = job.glimpses.height;
  if (!scratch.tables.region.finite || h == 0) return;
  for (int64_t k = 0; k < scratch.blocks; ++k) {
    const int64_t start = smaller(k * Lanes::kCount, w - Lanes::kCount);
    scratch.starts[k] = (int32_t)start;
    Lanes::plan_block(scratch.plans[k], scratch.tables.columns.index + start,
                      scratch.tables.source.width);
  }
  for (int64_t i = 0; i < h; ++i) {
    scratch.row_offset[i] = scratch.tables.rows.index[i] * scratch.tables.source.stride_h;
    if (kSlopes) scratch.by_scale[i] = (float)scratch.tables.rows.by_scale[i];
  }
  const int64_t bytes = source_bytes<Lanes>(scratch.tables, job.glimpses);
  scratch.tile_rows = rows_of_tile(bytes, h);
  scratch.asks_ahead = bytes * job.regions.count * job.images.channels > kCachedBytes;
  if (scratch.asks_ahead) plan_ahead(scratch, w, h);
}

// One plane at work.
template <class Lanes>
struct Plane {
  const typename Lanes::Pixel* pixels;
  int64_t step_h;  // from the upper to the lower row of a tap
  bool normalise;
  float scale, bias;
};

template <class Lanes>
MGNET_INLINE Plane<Lanes> plane_of(const Job& job, const Source& source, int64_t channel) {
  Plane<Lanes> plane;
  plane.pixels =
      (const typename Lanes::Pixel*)job.images.data + source.offset + channel * source.stride_c;
  plane.step_h = source.height > 1 ? source.stride_h : 0;
  plane.normalise = job.sampling.scale != nullptr;
  plane.scale = plane.normalise ? (float)job.sampling.scale[channel] : 1.0f;
  plane.bias = plane.normalise ? (float)job.sampling.bias[channel] : 0.0f;
  return plane;
}

// Rows [first, last) of one block; out is the block's place in row `first`.
template <class Lanes, int kMode, bool kNormalise, bool kAsk>
static void forward_block(const PlanarScratch<Lanes>& scratch, const Plane<Lanes>& plane, int64_t k,
                          int64_t first, int64_t last, float* out, int64_t out_stride) {
  using Floats = typename Lanes::Floats;
  using Fetch = typename Lanes::template Fetch<kMode>;
  const AxisTable<float>& columns = scratch.tables.columns;
  const AxisTable<float>& rows = scratch.tables.rows;
  const int64_t start = scratch.starts[k];
  const Fetch fetch = Fetch::of(scratch.plans[k]);
  Floats left_weight = Lanes::load(columns.left + start);
  Floats right_weight = Lanes::load(columns.right + start);
  Floats bias;
  if (kNormalise) {
    left_weight = Lanes::multiply(left_weight, Lanes::all(plane.scale));
    right_weight = Lanes::multiply(right_weight, Lanes::all(plane.scale));
    bias = Lanes::multiply(Lanes::all(plane.bias), Lanes::load(columns.weight + start));
  }
  for (int64_t i = first; i < last; ++i) {
    const typename Lanes::Pixel* upper = plane.pixels + scratch.row_offset[i];
    const typename Lanes::Pixel* lower = upper + plane.step_h;
    if (kAsk) {
      const typename Lanes::Pixel* ahead = plane.pixels + scratch.row_offset[i + scratch.tile_rows];
      ask_for<Lanes>(ahead, scratch.ahead[k]);
      ask_for<Lanes>(ahead + plane.step_h, scratch.ahead[k]);
    }
    const Floats upper_weight = Lanes::all(rows.left[i]), lower_weight = Lanes::all(rows.right[i]);
    Floats left, right;
    Fetch::template taps<1>(fetch, upper, lower, &upper_weight, &lower_weight, &left, &right);
    Floats value;
    if (kNormalise) {
      value = Lanes::fused(left_weight, left, Lanes::multiply(Lanes::all(rows.weight[i]), bias));
      value = Lanes::fused(right_weight, right, value);
    } else {
      value = Lanes::fused(right_weight, right, Lanes::multiply(left_weight, left));
    }
    Lanes::store(out, value);
    out += out_stride;
  }
}

// The same for the gradient: adds to the sums of the block.
template <class Lanes, int kMode, bool kNormalise, bool kAsk>
static void backward_block(const PlanarScratch<Lanes>& scratch, const Plane<Lanes>& plane,
                           int64_t k, int64_t first, int64_t last, const float* gradient,
                           int64_t gradient_stride) {
  using Floats = typename Lanes::Floats;
  using Fetch = typename Lanes::template Fetch<kMode>;
  const AxisTable<float>& columns = scratch.tables.columns;
  const AxisTable<float>& rows = scratch.tables.rows;
  const int64_t start = scratch.starts[k];
  const int fresh = (int)(k * Lanes::kCount - start);  // lanes below belong to the block before
  const Fetch fetch = Fetch::of(scratch.plans[k]);
  Floats left_weight = Lanes::load(columns.left + start);
  Floats right_weight = Lanes::load(columns.right + start);
  Floats left_slope = Lanes::load(columns.left_slope + start);
  Floats right_slope = Lanes::load(columns.right_slope + start);
  Floats bias_weight, bias_slope;
  if (kNormalise) {
    const Floats scale = Lanes::all(plane.scale), bias = Lanes::all(plane.bias);
    left_weight = Lanes::multiply(left_weight, scale);
    right_weight = Lanes::multiply(right_weight, scale);
    left_slope = Lanes::multiply(left_slope, scale);
    right_slope = Lanes::multiply(right_slope, scale);
    bias_weight = Lanes::multiply(bias, Lanes::load(columns.weight + start));
    bias_slope = Lanes::multiply(bias, Lanes::load(columns.slope + start));
  }
  Floats sum_x = Lanes::all(0.0f), sum_y = sum_x, sum_y_scaled = sum_x;
  for (int64_t i = first; i < last; ++i) {
    const typename Lanes::Pixel* upper = plane.pixels + scratch.row_offset[i];
    const typename Lanes::Pixel* lower = upper + plane.step_h;
    if (kAsk) {
      const typename Lanes::Pixel* ahead = plane.pixels + scratch.row_offset[i + scratch.tile_rows];
      ask_for<Lanes>(ahead, scratch.ahead[k]);
      ask_for<Lanes>(ahead + plane.step_h, scratch.ahead[k]);
    }
    const Floats upper_weight[2] = {Lanes::all(rows.left[i]), Lanes::all(rows.left_slope[i])};
    const Floats lower_weight[2] = {Lanes::all(rows.right[i]), Lanes::all(rows.right_slope[i])};
    Floats left[2], right[2];
    Fetch::template taps<2>(fetch, upper, lower, upper_weight, lower_weight, left, right);
    Floats along_x, along_y;
    if (kNormalise) {
      along_x = Lanes::multiply(Lanes::all(rows.weight[i]), bias_slope);
      along_x = Lanes::fused(left_slope, left[0], along_x);
      along_y = Lanes::multiply(Lanes::all(rows.slope[i]), bias_weight);
      along_y = Lanes::fused(left_weight, left[1], along_y);
    } else {
      along_x = Lanes::multiply(left_slope, left[0]);
      along_y = Lanes::multiply(left_weight, left[1]);
    }
    along_x = Lanes::fused(right_slope, right[0], along_x);
    along_y = Lanes::fused(right_weight, right[1], along_y);
    Floats g = Lanes::load(gradient);
    if (fresh > 0) g = Lanes::keep_from(g, fresh);
    gradient += gradient_stride;
    sum_x = Lanes::fused(g, along_x, sum_x);
    sum_y = Lanes::fused(g, along_y, sum_y);
    sum_y_scaled =
        Lanes::fused(Lanes::multiply(g, Lanes::all(scratch.by_scale[i])), along_y, sum_y_scaled);
  }
  Lanes::add_to_doubles(scratch.sums_x + start, sum_x);
  Lanes::add_to_doubles(scratch.sums_y, sum_y);
  Lanes::add_to_doubles(scratch.sums_y_scaled, sum_y_scaled);
}

// Calls body<mode>() for the mode of a block.
template <class Lanes, class Body, int kMode = 0>
MGNET_INLINE void with_mode(int mode, const Body& body) {
  if constexpr (kMode < Lanes::kModes) {
    if (mode == kMode) {
      body.template operator()<kMode>();
    } else {
      with_mode<Lanes, Body, kMode + 1>(mode, body);
    }
  }
}

template <class Lanes>
struct ForwardTile {
  const PlanarScratch<Lanes>& scratch;
  const Plane<Lanes>& plane;
  int64_t k, first, last;
  float* out;
  int64_t stride;
  template <int kMode>
  void operator()() const {
    if (plane.normalise) {
      run<kMode, true>();
    } else {
      run<kMode, false>();
    }
  }
  template <int kMode, bool kNormalise>
  void run() const {
    if (scratch.asks_ahead) {
      forward_block<Lanes, kMode, kNormalise, true>(scratch, plane, k, first, last, out, stride);
    } else {
      forward_block<Lanes, kMode, kNormalise, false>(scratch, plane, k, first, last, out, stride);
    }
  }
};

template <class Lanes>
struct BackwardTile {
  const PlanarScratch<Lanes>& scratch;
  const Plane<Lanes>& plane;
  int64_t k, first, last;
  const float* gradient;
  int64_t stride;
  template <int kMode>
  void operator()() const {
    if (plane.normalise) {
      run<kMode, true>();
    } else {
      run<kMode, false>();
    }
  }
  template <int kMode, bool kNormalise>
  void run() const {
    if (scratch.asks_ahead) {
      backward_block<Lanes, kMode, kNormalise, true>(scratch, plane, k, first, last, gradient,
                                                     stride);
    } else {
      backward_block<Lanes, kMode, kNormalise, false>(scratch, plane, k, first, last, gradient,
                                                      stride);
    }
  }
};

template <class Lanes>
static void forward_planar(const Job& job, int64_t first_unit, int64_t last_unit, void* memory) {
  Arena arena{(char*)memory, 0};
  PlanarScratch<Lanes> scratch = take_planar_scratch<Lanes>(arena, job);
  const Glimpses& to = job.glimpses;
  const bool direct = rows_are_floats(to);
  for (int64_t unit = first_unit; unit < last_unit; ++unit) {
    const int64_t n = unit / job.images.channels, channel = unit % job.images.channels;
    if (unit == first_unit || channel == 0) fill_planar_tables<Lanes, false>(scratch, job, n);
    if (!scratch.tables.region.finite) {
      fill_plane<float>(job, n, channel, scratch.tile, __builtin_nanf(""));
      continue;
    }
    const Plane<Lanes> plane = plane_of<Lanes>(job, scratch.tables.source, channel);
    for (int64_t first = 0; first < to.height; first += scratch.tile_rows) {
      const int64_t last = smaller(first + scratch.tile_rows, to.height);
      float* out =
          direct ? (float*)to.data + glimpse_row_offset(to, n, channel, first) : scratch.tile;
      const int64_t stride = direct ? to.stride_h : padded(to.width);
      for (int64_t k = 0; k < scratch.blocks; ++k) {
        const ForwardTile<Lanes> tile{scratch, plane, k, first, last, out + scratch.starts[k],
                                      stride};
        with_mode<Lanes>(scratch.plans[k].mode, tile);
      }
      for (int64_t i = first; !direct && i < last; ++i) {
        store_row(to.type, scratch.tile + (i - first) * stride, to.data,
                  glimpse_row_offset(to, n, channel, i), to.stride_w, to.width);
      }
    }
  }
}

template <class Lanes>
static void backward_region_planar(const Job& job, int64_t first_unit, int64_t last_unit,
                                   double* sums, void* memory) {
  Arena arena{(char*)memory, 0};
  PlanarScratch<Lanes> scratch = take_planar_scratch<Lanes>(arena, job);
  const Glimpses& from = job.glimpses;
  const bool direct = rows_are_floats(from);
  for (int64_t unit = first_unit; unit < last_unit; ++unit) {
    const int64_t n = unit / job.images.channels, channel = unit % job.images.channels;
    if (unit == first_unit || channel == 0) fill_planar_tables<Lanes, true>(scratch, job, n);
    double* total = sums + unit * kRegionSums;
    if (!scratch.tables.region.finite) {
      for (int i = 0; i < kRegionSums; ++i) total[i] = __builtin_nan("");
      continue;
    }
    const Plane<Lanes> plane = plane_of<Lanes>(job, scratch.tables.source, channel);
    for (int64_t j = 0; j < from.width; ++j) scratch.sums_x[j] = 0.0;
    for (int lane = 0; lane < Lanes::kCount; ++lane) {
      scratch.sums_y[lane] = scratch.sums_y_scaled[lane] = 0.0;
    }
    for (int64_t first = 0; first < from.height; first += scratch.tile_rows) {
      const int64_t last = smaller(first + scratch.tile_rows, from.height);
      const float* gradient =
          direct ? (const float*)from.data + glimpse_row_offset(from, n, channel, first)
                 : scratch.tile;
      const int64_t stride = direct ? from.stride_h : padded(from.width);
      for (int64_t i = first; !direct && i < last; ++i) {
        load_row(from.type, scratch.tile + (i - first) * stride, from.data,
                 glimpse_row_offset(from, n, channel, i), from.stride_w, from.width);
      }
      for (int64_t k = 0; k < scratch.blocks; ++k) {
        const BackwardTile<Lanes> tile{scratch, plane, k, first, last, gradient + scratch.starts[k],
                                       stride};
        with_mode<Lanes>(scratch.plans[k].mode, tile);
      }
    }
    double scale_x = 0.0, shift_x = 0.0, scale_y = 0.0, shift_y = 0.0;
    for (int64_t j = 0; j < from.width; ++j) {
      scale_x += scratch.sums_x[j] * scratch.tables.columns.by_scale[j];
      shift_x += scratch.sums_x[j];
    }
    for (int lane = 0; lane < Lanes::kCount; ++lane) {
      scale_y += scratch.sums_y_scaled[lane];
      shift_y += scratch.sums_y[lane];
    }
    const bool align = job.sampling.align_corners;
    const double per_x = pixels_per_position(scratch.tables.source.width, align);
    const double per_y = pixels_per_position(scratch.tables.source.height, align);
    total[0] = scale_x * per_x;
    total[1] = scale_y * per_y;
    total[2] = shift_x * per_x;
    total[3] = shift_y * per_y;
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
