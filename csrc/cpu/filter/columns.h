// Filters a filtered row along its columns: the samples of one row of a glimpse.
#pragma once

#include "cpu/filter/sums.h"
#include "cpu/filter/tables.h"

namespace mgnet {
namespace MGNET_ISA {

// The channels of a filtered row apart, `stride` from one to the next, each with zeros behind it
// for the weights that fill up pieces: in `channels`, or in the line itself where it has only one.
template <class Real>
static const Real* split_channels(Real* line, int64_t together, int64_t columns, Real* channels,
                                  int64_t stride) {
  if (together == 1) {
    for (int64_t x = columns; x < columns + kPastLine; ++x) line[x] = (Real)0;
    return line;
  }
  const int64_t split = together == 3 ? split_three(line, columns, channels, stride) : 0;
  for (int64_t c = 0; c < together; ++c) {
    Real* to = channels + c * stride;
    for (int64_t x = split; x < columns; ++x) to[x] = line[together * x + c];
    for (int64_t x = columns; x < columns + kPastLine; ++x) to[x] = (Real)0;
  }
  return channels;
}

// The sums of the halves of the samples along a filtered row, one sample after the other.
template <class Real>
struct ColumnSums {
  const Real* pixels;  // of column 0 of the image, which may lie before the row's memory
  int32_t first[kHalves], last[kHalves];
  Sums<Real> sums[kHalves];

  MGNET_INLINE ColumnSums along(const Real* line, int64_t first_column) {
    ColumnSums made;
    made.pixels = line - first_column;
    made.first[0] = made.first[1] = 0;
    made.last[0] = made.last[1] = 0;
    made.sums[0] = made.sums[1] = {0, 0};
    return made;
  }
  MGNET_INLINE void move(ColumnSums& at, const FilterTap<Real>& tap) {
    const int32_t* edge = tap.edge;
    const ColumnSums was = at;
    for (int half = 0; half < kHalves; ++half) {
      at.first[half] = edge[half];
      at.last[half] = edge[half + 1];
      if (was.first[1 - half] == edge[half] && was.last[1 - half] == edge[half + 1]) {
        at.sums[half] = was.sums[1 - half];  // scales below 0 go the other way
      } else {
        at.sums[half] = sums_of(at.pixels + edge[half], edge[half + 1] - edge[half]);
      }
    }
  }
  MGNET_INLINE Real filtered(const ColumnSums& at, const Line<Real>* lines) {
    Real value = 0;
    for (int half = 0; half < kHalves; ++half) {
      value = multiply_add(lines[half].start, at.sums[half].plain, value);
      value = multiply_add(lines[half].step, at.sums[half].ramp, value);
    }
    return value;
  }
};

// The samples of a filtered row.
template <class Real>
static void filter_columns(const ColumnDots<Real>& dots, const Real* line, int64_t samples,
                           Real* out) {
  if (dots.pieces) {
    for (int64_t j = 0; j < samples; j += 8) {
      const Real* weights = dots.weights + j * dots.pieces * kPiece;
      if (dots.pieces == 1) {  // without a loop: most small glimpses
        eight_dots(line, dots.pixels + j, weights, 1, out + j);
      } else {
        eight_dots(line, dots.pixels + j, weights, dots.pieces, out + j);
      }
    }
    return;
  }
  for (int64_t j = 0; j < samples; ++j) {
    out[j] = dot(line + dots.pixels[j], dots.weights + dots.at[j], dots.own[j]);
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
