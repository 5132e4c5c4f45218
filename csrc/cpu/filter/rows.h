// Filters the rows of an image: one row is left for each of the glimpse. Every pixel is read once,
// as half a sample behind it is half a sample before the next one.
#pragma once

#include "cpu/filter/sums.h"
#include "cpu/filter/tables.h"
#include "cpu/generic.h"

namespace mgnet {
namespace MGNET_ISA {

enum { kStretch = 4096 };    // elements whose sums stay in the L1 cache
enum { kAheadBytes = 512 };  // of prefetching

// Channels of a unit.
MGNET_INLINE int64_t channels_together(const Images& images) {
  const bool side_by_side = images.stride_c == 1 && images.stride_w == images.channels;
  return side_by_side ? images.channels : 1;
}

// The rows of the image as a unit sees them: from the first column that it needs, all its channels.
struct PixelRows {
  const void* data;
  int64_t stride_h, stride, elements;
};

template <class Real>
struct FilterScratch {
  FilterTables<Real> tables;
  RowSums<Real> sums[kHalves];  // of the two halves in use
  Real* lines[3];               // filtered rows: by weight, by_scale, by_shift
  Real* channels;               // those of a line, one after the other
  int64_t channel_stride;
  Real* converted;  // a block of rows of other types and strides
  Real* row;        // a row of the glimpse, or of its incoming gradient
  Real* samples;    // a row of samples, in the backward pass
};

template <class Real>
MGNET_INLINE FilterScratch<Real> take_filter_scratch(Arena& arena, const Job& job) {
  const int64_t elements = job.images.width * channels_together(job.images) + kPastLine;
  FilterScratch<Real> scratch;
  scratch.tables = take_filter_tables<Real>(arena, job);
  for (RowSums<Real>& sums : scratch.sums) {
    sums.plain = Arena::take<Real>(arena, elements);
    sums.ramp = Arena::take<Real>(arena, elements);
  }
  for (Real*& line : scratch.lines) line = Arena::take<Real>(arena, elements);
  scratch.channel_stride = job.images.width + kPastLine;
  scratch.channels =
      Arena::take<Real>(arena, channels_together(job.images) * scratch.channel_stride);
  scratch.converted = Arena::take<Real>(arena, kBlockRows * smaller(elements, kStretch));
  scratch.row = Arena::take<Real>(arena, padded(job.glimpses.width));
  scratch.samples = Arena::take<Real>(arena, padded(job.glimpses.width));
  return scratch;
}

template <class Element>
struct AddedAsTheyLie {
  enum { kValue = false };
};
template <>
struct AddedAsTheyLie<Float32> {
  enum { kValue = true };
};
template <>
struct AddedAsTheyLie<Float64> {
  enum { kValue = true };
};
template <>
struct AddedAsTheyLie<UInt8> {
  enum { kValue = true };
};

template <class Element>
static void sum_rows(const PixelRows& pixels, const RowSums<typename Element::Real>& sums,
                     const Filtered<typename Element::Real>* filtered,
                     typename Element::Real* converted) {
  using Real = typename Element::Real;
  for (int64_t x = 0; x < pixels.elements; x += kStretch) {
    const int64_t elements = smaller(pixels.elements - x, kStretch);
    const RowSums<Real> to = {sums.plain + x, sums.ramp + x, 0, 0};
    Filtered<Real> here = {};
    if (filtered) {
      here = *filtered;
      here.out += x;
      here.other.plain += x;
      here.other.ramp += x;
    }
    // Long rows lie ready further on, short ones further down.
    const int64_t far = kAheadBytes / (int64_t)sizeof(typename Element::Stored);
    for (int64_t row = sums.first; row < sums.last; row += kBlockRows) {
      const int64_t count = smaller(sums.last - row, kBlockRows), before = row - sums.first;
      const Filtered<Real>* last = filtered && row + count == sums.last ? &here : nullptr;
      const typename Element::Stored* from =
          (const typename Element::Stored*)pixels.data + row * pixels.stride_h + x * pixels.stride;
      if constexpr (AddedAsTheyLie<Element>::kValue) {
        if (pixels.stride == 1) {
          const RowBlock<typename Element::Stored> block = {
              from, pixels.stride_h, count, before,
              elements > 4 * far ? far : count * pixels.stride_h};
          add_block(block, elements, to, last);
          continue;
        }
      }
      for (int64_t k = 0; k < count; ++k) {
        load_row_as<Element>(converted + k * elements, from, k * pixels.stride_h, pixels.stride,
                             elements);
      }
      const RowBlock<Real> block = {converted, elements, count, before, 0};
      add_block(block, elements, to, last);
    }
  }
}

template <class Real>
static void clear_sums(const RowSums<Real>& sums, int64_t elements) {
  for (int64_t x = 0; x < elements; ++x) sums.plain[x] = sums.ramp[x] = (Real)0;
}

template <class Real>
static void combine(Real* MGNET_RESTRICT out, int64_t elements, const Line<Real>* lines,
                    const RowSums<Real>& before, const RowSums<Real>& behind) {
  const Real* MGNET_RESTRICT a = before.plain;
  const Real* MGNET_RESTRICT b = before.ramp;
  const Real* MGNET_RESTRICT c = behind.plain;
  const Real* MGNET_RESTRICT d = behind.ramp;
  const Line<Real> left = lines[kBefore], right = lines[kBehind];
  for (int64_t x = 0; x < elements; ++x) {
    out[x] = (left.start * a[x] + right.start * c[x]) + (left.step * b[x] + right.step * d[x]);
  }
}

// Puts the sums of both halves of a sample into `sums`, kept from its neighbour where they are
// there, and the row filtered by `weight` into lines[0]; `of` says which sums are which.
template <class Element>
static void filter_rows(const FilterTap<typename Element::Real>& tap, const PixelRows& pixels,
                        const FilterScratch<typename Element::Real>& scratch,
                        RowSums<typename Element::Real>* sums, int* of) {
  using Real = typename Element::Real;
  for (int half = 0; half < kHalves; ++half) {
    of[half] = -1;
    for (int k = 0; k < kHalves; ++k) {
      if (sums[k].first == tap.edge[half] && sums[k].last == tap.edge[half + 1]) of[half] = k;
    }
  }
  bool made = false;
  for (int half = 0; half < kHalves; ++half) {
    if (of[half] >= 0) continue;
    const int other = of[1 - half];
    of[half] = other < 0 ? half : 1 - other;
    RowSums<Real>& to = sums[of[half]];
    to.first = tap.edge[half];
    to.last = tap.edge[half + 1];
    if (to.first == to.last) {
      clear_sums(to, pixels.elements);
    } else if (other < 0) {
      sum_rows<Element>(pixels, to, (const Filtered<Real>*)nullptr, scratch.converted);
    } else {
      const Filtered<Real> filtered = {scratch.lines[0], sums[other], tap.weight[half],
                                       tap.weight[1 - half]};
      sum_rows<Element>(pixels, to, &filtered, scratch.converted);
      made = true;
    }
  }
  if (!made) {
    combine(scratch.lines[0], pixels.elements, tap.weight, sums[of[kBefore]], sums[of[kBehind]]);
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
