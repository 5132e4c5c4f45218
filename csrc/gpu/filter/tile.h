// A tile of an antialiased glimpse: its samples along both axes, and the rows of its image filtered
// for it, a strip of columns at a time. As on the CPU, rows are filtered first, and every line of
// weights takes the same two sums of a half.
#pragma once

#include "filter_math.h"
#include "gpu/axis.h"

namespace mgnet {
namespace MGNET_ISA {

// All in shared memory. Edges of taps are 32 bits wide, as no side of an image is longer.
template <class Real>
struct FilterTile {
  FilterTap<Real> columns[kTileColumns];
  FilterTap<Real> rows[kTileRows];
  int first_column, last_column;  // of the image: those that some sample reaches
};

template <class Real>
MGNET_DEVICE FilterTap<Real> filter_tap_of(const Axis& axis, int64_t i) {
  if (i >= axis.count) return {};
  return filter_tap<Real>(base_position(i, axis.count, axis.align_corners), axis.scale, axis.shift,
                          axis.size, axis.count, axis.align_corners, axis.border);
}

template <class Real>
MGNET_DEVICE void fill_filter_tile(const Block& block, const Job& job, const Region& region,
                                   int64_t top, int64_t start, FilterTile<Real>& tile) {
  block.step([&](int thread) {
    if (thread < kTileColumns) {
      tile.columns[thread] = filter_tap_of<Real>(column_axis(job, region), start + thread);
    } else if (thread < kTileColumns + kTileRows) {
      const int row = thread - kTileColumns;
      tile.rows[row] = filter_tap_of<Real>(row_axis(job, region), top + row);
    }
  });
  block.step([&](int thread) {
    if (thread != 0) return;
    int first = (int)job.images.width, last = 0;
    for (const FilterTap<Real>& tap : tile.columns) {
      if (tap.edge[0] == tap.edge[kHalves]) continue;
      first = tap.edge[0] < first ? tap.edge[0] : first;
      last = tap.edge[kHalves] > last ? tap.edge[kHalves] : last;
    }
    tile.first_column = first;
    tile.last_column = last;
  });
}

// Over the pixels of a half, k = 0, 1, ...: the sums of v_k and of k v_k.
template <class Real>
struct HalfSums {
  Real plain, ramp;
};

template <class Real>
MGNET_DEVICE void add_to(HalfSums<Real>& sums, Real value, int k) {
  sums.plain += value;
  sums.ramp = multiply_add((Real)k, value, sums.ramp);
}

template <class Element>
MGNET_DEVICE HalfSums<typename Element::Real> half_of_column(const typename Element::Stored* column,
                                                             int64_t stride, int first, int last) {
  using Real = typename Element::Real;
  HalfSums<Real> sums = {(Real)0, (Real)0};
  const typename Element::Stored* from = column + first * stride;
  for (int k = 0; k < last - first; ++k) add_to(sums, (Real)Element::get(from[k * stride]), k);
  return sums;
}

template <class Real>
MGNET_DEVICE Real weighted(const Line<Real>& line, const HalfSums<Real>& sums) {
  return multiply_add(line.step, sums.ramp, line.start * sums.plain);
}

template <class Real>
MGNET_DEVICE Real weighted(const Line<Real>* lines, const HalfSums<Real>* sums) {
  return weighted(lines[kBefore], sums[kBefore]) + weighted(lines[kBehind], sums[kBehind]);
}

// The part of half `half` of a sample that lies in columns first to last - 1 of a strip.
struct Part {
  int begin, end;
};

template <class Real>
MGNET_DEVICE Part part_of_half(const FilterTap<Real>& tap, int half, int first, int last) {
  const int begin = tap.edge[half], end = tap.edge[half + 1];
  return {begin > first ? begin : first, end < last ? end : last};
}

}  // namespace MGNET_ISA
}  // namespace mgnet
