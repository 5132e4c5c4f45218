// What a filtered glimpse needs beside the pixels: the samples
// of both axes, and the weights of the dot products along a row.
#pragma once

#include "cpu/filter/vectors.h"
#include "cpu/generic.h"
#include "filter_math.h"

namespace mgnet {
namespace MGNET_ISA {

template <class Real>
MGNET_INLINE bool is_empty(const FilterTap<Real>& tap) {
  return tap.edge[0] == tap.edge[kHalves];
}

// Of the normalization.
template <class Real>
struct Constants {
  Real scale, bias;
};

template <class Real>
MGNET_INLINE Constants<Real> constants_of(const Job& job, int64_t channel) {
  if (!job.sampling.scale) return {(Real)1, (Real)0};
  return {(Real)job.sampling.scale[channel], (Real)job.sampling.bias[channel]};
}

// How the samples of a filtered row are made of its pixels: by a dot product each.
template <class Real>
struct ColumnDots {
  Real* weights;    // in whole pieces
  int64_t pieces;   // of every sample, whose weights follow each other; 0: as the next two say
  int32_t* own;     // pieces of a sample
  int64_t* at;      // where its weights begin
  int32_t* pixels;  // where its pixels begin, from the first column on
  Real* totals;     // sums of the weights
};

template <class Real>
struct FilterTables {
  FilterTap<Real>* columns;
  FilterTap<Real>* rows;
  int64_t first_column, last_column;  // of the image: those that some sample needs
  ColumnDots<Real> dots;
};

enum { kFewPieces = 4, kPastLine = kFewPieces * kPiece };  // what products read behind a line's end

// At most three samples reach a pixel, and those that the border has moved share their weights.
MGNET_INLINE int64_t most_weights(const Job& job) {
  return 5 * job.images.width + kPastLine * padded(job.glimpses.width + 1);
}

template <class Real>
MGNET_INLINE FilterTables<Real> take_filter_tables(Arena& arena, const Job& job) {
  const int64_t width = job.glimpses.width;
  FilterTables<Real> tables;
  tables.columns = Arena::take<FilterTap<Real>>(arena, width);
  tables.rows = Arena::take<FilterTap<Real>>(arena, job.glimpses.height);
  tables.first_column = tables.last_column = 0;
  tables.dots.weights = Arena::take<Real>(arena, most_weights(job));
  tables.dots.pieces = 0;
  tables.dots.own = Arena::take<int32_t>(arena, padded(width));
  tables.dots.at = Arena::take<int64_t>(arena, padded(width));
  tables.dots.pixels = Arena::take<int32_t>(arena, padded(width));
  tables.dots.totals = Arena::take<Real>(arena, padded(width));
  return tables;
}

template <class Real>
MGNET_INLINE int64_t pieces_of(const FilterTap<Real>& tap) {
  return (tap.edge[kHalves] - tap.edge[0] + kPiece - 1) / kPiece;
}

template <class Real>
MGNET_INLINE bool same_weights(const FilterTap<Real>& a, const FilterTap<Real>& b) {
  for (int k = 0; k <= kHalves; ++k) {
    if (a.edge[k] != b.edge[k]) return false;
  }
  for (int half = 0; half < kHalves; ++half) {
    if (a.weight[half].start != b.weight[half].start) return false;
    if (a.weight[half].step != b.weight[half].step) return false;
  }
  return true;
}

template <class Real>
static void write_weights(const FilterTap<Real>& tap, Real* to, Real* end) {
  for (int half = 0; half < kHalves; ++half) {
    const int64_t count = tap.edge[half + 1] - tap.edge[half];
    const Line<Real> line = tap.weight[half];
    for (int64_t k = 0; k < count; ++k) *to++ = multiply_add(line.step, (Real)k, line.start);
  }
  while (to < end) *to++ = (Real)0;
}

template <class Real>
static void fill_dots(FilterTables<Real>& tables, int64_t samples) {
  ColumnDots<Real>& dots = tables.dots;
  int64_t most = 0, used = 0;
  for (int64_t j = 0; j < samples; ++j) most = larger(most, pieces_of(tables.columns[j]));
  dots.pieces = most <= kFewPieces ? most : 0;
  for (int64_t j = 0; j < padded(samples); ++j) {
    FilterTap<Real> tap = {};
    if (j < samples) tap = tables.columns[j];
    const bool shared =
        dots.pieces == 0 && j > 0 && j < samples && same_weights(tap, tables.columns[j - 1]);
    const int64_t pieces = dots.pieces ? dots.pieces : pieces_of(tap);
    dots.own[j] = (int32_t)pieces;
    dots.at[j] = shared ? dots.at[j - 1] : used;
    dots.pixels[j] = is_empty(tap) ? 0 : (int32_t)(tap.edge[0] - tables.first_column);
    dots.totals[j] = tap.total;
    if (shared) continue;
    used += pieces * kPiece;
    write_weights(tap, dots.weights + dots.at[j], dots.weights + used);
  }
}

template <class Real>
static void fill_filter_tables(FilterTables<Real>& tables, const Job& job, const Region& region,
                               const Source& source) {
  const bool align = job.sampling.align_corners, border = job.sampling.padding == kBorder;
  const Glimpses& glimpse = job.glimpses;
  tables.first_column = source.width;
  tables.last_column = 0;
  for (int64_t j = 0; j < glimpse.width; ++j) {
    const double base = base_position(j, glimpse.width, align);
    const FilterTap<Real> tap = filter_tap<Real>(base, region.scale_x, region.x, source.width,
                                                 glimpse.width, align, border);
    tables.columns[j] = tap;
    if (is_empty(tap)) continue;
    tables.first_column = smaller(tables.first_column, tap.edge[0]);
    tables.last_column = larger(tables.last_column, tap.edge[kHalves]);
  }
  if (tables.first_column > tables.last_column) tables.first_column = tables.last_column;
  fill_dots(tables, glimpse.width);
  for (int64_t i = 0; i < glimpse.height; ++i) {
    const double base = base_position(i, glimpse.height, align);
    tables.rows[i] = filter_tap<Real>(base, region.scale_y, region.y, source.height, glimpse.height,
                                      align, border);
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
