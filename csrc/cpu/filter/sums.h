// The two sums of a half: sum of v_k and sum of k v_k over its pixels. Rows are added sixteen at a
// time by running sums, s += v_k and t += s, which leave t = sum of (count - k) v_k without a
// product. For bytes both stay in 16 bits, so these sums are exact.
#pragma once

#include "cpu/filter/vectors.h"
#include "filter_math.h"

namespace mgnet {
namespace MGNET_ISA {

enum { kBlockRows = 16 };  // 255 * (1 + ... + 16) is below 2^16

// The sums of one half of a sample, for each element of a row.
template <class Real>
struct RowSums {
  Real* plain;
  Real* ramp;
  int32_t first, last;  // which rows; none yet if first > last
};

// A filtered row, made while the sums of a sample's second half are at hand.
template <class Real>
struct Filtered {
  Real* out;
  RowSums<Real> other;  // of the first half
  Line<Real> own_line, other_line;
};

// Up to kBlockRows rows of a half, the first of which is number `before`.
template <class Stored>
struct RowBlock {
  const Stored* rows;
  int64_t stride, count, before;
  int64_t ahead;  // from a pixel to one that is needed soon
};

// kFirst: the sums begin with this block. kLast: the filtered row is made, too.
template <class Real, bool kFirst, bool kLast, class Vector>
MGNET_INLINE void finish_vector(Vector sum, Vector running, Real numbers, int64_t x,
                                const RowSums<Real>& to, const Filtered<Real>& filtered) {
  Vector plain = sum, ramp = numbers * sum - running;
  if (!kFirst) {
    Vector so_far;
    __builtin_memcpy(&so_far, to.plain + x, sizeof so_far);
    plain += so_far;
    __builtin_memcpy(&so_far, to.ramp + x, sizeof so_far);
    ramp += so_far;
  }
  __builtin_memcpy(to.plain + x, &plain, sizeof plain);
  __builtin_memcpy(to.ramp + x, &ramp, sizeof ramp);
  if (kLast) {
    Vector other, other_ramp;
    __builtin_memcpy(&other, filtered.other.plain + x, sizeof other);
    __builtin_memcpy(&other_ramp, filtered.other.ramp + x, sizeof other_ramp);
    const Vector out = (filtered.other_line.start * other + filtered.own_line.start * plain) +
                       (filtered.other_line.step * other_ramp + filtered.own_line.step * ramp);
    __builtin_memcpy(filtered.out + x, &out, sizeof out);
  }
}

template <bool kFirst, bool kLast, int kVectors, class Real>
MGNET_INLINE void add_vectors(const RowBlock<Real>& block, int64_t x, const RowSums<Real>& to,
                              const Filtered<Real>& filtered) {
  enum { kLanes = VectorOf<Real>::kLanes };
  using Vector = typename VectorOf<Real>::Type;
  Vector sum[kVectors] = {}, running[kVectors] = {};
  for (int64_t k = 0; k < block.count; ++k) {
    const Real* row = block.rows + k * block.stride + x;
    if (kVectors > 1) __builtin_prefetch(row + block.ahead);
    for (int v = 0; v < kVectors; ++v) {
      Vector values;
      __builtin_memcpy(&values, row + v * kLanes, sizeof values);
      sum[v] += values;
      running[v] += sum[v];
    }
  }
  const Real numbers = (Real)(block.before + block.count);
  for (int v = 0; v < kVectors; ++v) {
    finish_vector<Real, kFirst, kLast>(sum[v], running[v], numbers, x + v * kLanes, to, filtered);
  }
}

template <bool kFirst, bool kLast, int kVectors>
MGNET_INLINE void add_vectors(const RowBlock<uint8_t>& block, int64_t x, const RowSums<float>& to,
                              const Filtered<float>& filtered) {
  WordLanes::Words sum[kVectors], running[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = running[v] = WordLanes::zero();
  for (int64_t k = 0; k < block.count; ++k) {
    const uint8_t* row = block.rows + k * block.stride + x;
    __builtin_prefetch(row + block.ahead);
    for (int v = 0; v < kVectors; ++v) {
      sum[v] = WordLanes::add(sum[v], WordLanes::load(row + v * WordLanes::kLanes));
      running[v] = WordLanes::add(running[v], sum[v]);
    }
  }
  const float numbers = (float)(block.before + block.count);
  for (int v = 0; v < kVectors; ++v) {
    const int64_t at = x + v * WordLanes::kLanes;
    finish_vector<float, kFirst, kLast>(
        WordLanes::floats(sum[v], 0), WordLanes::floats(running[v], 0), numbers, at, to, filtered);
    finish_vector<float, kFirst, kLast>(WordLanes::floats(sum[v], 1),
                                        WordLanes::floats(running[v], 1), numbers,
                                        at + WordLanes::kLanes / 2, to, filtered);
  }
}

template <bool kFirst, bool kLast, class Stored, class Real>
static void add_block_as(
    const RowBlock<Stored> block, int64_t elements, const RowSums<Real> to,
    const Filtered<Real> filtered) {  // copies: none of the sums can alias them
  enum { kLanes = sizeof(Stored) == 1 ? (int)WordLanes::kLanes : (int)VectorOf<Real>::kLanes };
  int64_t x = 0;
  for (; x + 4 * kLanes <= elements; x += 4 * kLanes) {
    add_vectors<kFirst, kLast, 4>(block, x, to, filtered);
  }
  for (; x + kLanes <= elements; x += kLanes) {
    add_vectors<kFirst, kLast, 1>(block, x, to, filtered);
  }
  for (; x < elements; ++x) {
    Real sum = 0, running = 0;
    for (int64_t k = 0; k < block.count; ++k) {
      sum += (Real)block.rows[k * block.stride + x];
      running += sum;
    }
    finish_vector<Real, kFirst, kLast>(sum, running, (Real)(block.before + block.count), x, to,
                                       filtered);
  }
}

// `filtered` where this is the last block of a sample's second half, else null.
template <class Stored, class Real>
static void add_block(const RowBlock<Stored>& block, int64_t elements, const RowSums<Real>& to,
                      const Filtered<Real>* filtered) {
  const Filtered<Real> none = {};
  if (block.before == 0) {
    if (filtered) return add_block_as<true, true>(block, elements, to, *filtered);
    return add_block_as<true, false>(block, elements, to, none);
  }
  if (filtered) return add_block_as<false, true>(block, elements, to, *filtered);
  return add_block_as<false, false>(block, elements, to, none);
}

template <class Real>
struct Sums {
  Real plain, ramp;
};

// The two sums over pixels that lie side by side.
template <class Real>
static Sums<Real> sums_of(const Real* values, int64_t count) {
  enum { kLanes = VectorOf<Real>::kLanes };
  using Vector = typename VectorOf<Real>::Type;
  Sums<Real> sums = {0, 0};
  int64_t k = 0;
  if (count >= kLanes) {
    Vector plain = {}, ramp = {}, number;
    for (int lane = 0; lane < kLanes; ++lane) number[lane] = (Real)lane;
    for (; k + kLanes <= count; k += kLanes) {
      Vector v;
      __builtin_memcpy(&v, values + k, sizeof v);
      plain += v;
      ramp += v * number;
      number += (Real)kLanes;
    }
    for (int lane = 0; lane < kLanes; ++lane) {
      sums.plain += plain[lane];
      sums.ramp += ramp[lane];
    }
  }
  for (; k < count; ++k) {
    sums.plain += values[k];
    sums.ramp += values[k] * (Real)k;
  }
  return sums;
}

}  // namespace MGNET_ISA
}  // namespace mgnet
