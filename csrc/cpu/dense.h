// Dense layers: every output is one dot product, added up in eight lanes in one fixed order
// whatever tile it is computed in. So a row's numbers do not depend on how many rows there are, on
// where they lie, or on the number of threads: a network fed back its own results (region, glimpse,
// region, ...) would amplify such differences of rounding.
#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "job.h"

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
#include <immintrin.h>
#endif

namespace mgnet {
namespace MGNET_ISA {

constexpr int64_t kDenseLanes = 8;

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
struct DenseSum {
  using Floats = __m256;
  MGNET_INLINE Floats zero() { return _mm256_setzero_ps(); }
  MGNET_INLINE Floats load(const float* from) { return _mm256_loadu_ps(from); }
  MGNET_INLINE Floats load_some(const float* from, int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(from, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lane));
  }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  MGNET_INLINE float total(Floats v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
};
#else
struct DenseSum {
  struct Floats {
    float lane[kDenseLanes];
  };
  MGNET_INLINE Floats zero() { return {}; }
  MGNET_INLINE Floats load(const float* from) { return load_some(from, kDenseLanes); }
  MGNET_INLINE Floats load_some(const float* from, int64_t count) {
    Floats v = {};
    for (int64_t i = 0; i < count; ++i) v.lane[i] = from[i];
    return v;
  }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) {
    for (int i = 0; i < kDenseLanes; ++i) {
#if defined(__FP_FAST_FMAF)
      c.lane[i] = __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]);
#else
      c.lane[i] += a.lane[i] * b.lane[i];
#endif
    }
    return c;
  }
  MGNET_INLINE float total(Floats v) {
    float four[4];
    for (int i = 0; i < 4; ++i) four[i] = v.lane[i] + v.lane[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
  }
};
#endif

template <int kRows, int kOuts>
MGNET_INLINE void dense_tile(const DenseLayer& layer, int64_t row, int64_t out) {
  using Floats = DenseSum::Floats;
  const float* input = layer.input + row * layer.input_stride;
  const float* weight = layer.weight + out * layer.weight_stride;
  Floats sums[kRows][kOuts];
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kOuts; ++k) sums[r][k] = DenseSum::zero();
  }
  int64_t d = 0;
  for (; d + kDenseLanes <= layer.depth; d += kDenseLanes) {
    Floats weights[kOuts];
    for (int k = 0; k < kOuts; ++k)
      weights[k] = DenseSum::load(weight + k * layer.weight_stride + d);
    for (int r = 0; r < kRows; ++r) {
      const Floats values = DenseSum::load(input + r * layer.input_stride + d);
      for (int k = 0; k < kOuts; ++k) sums[r][k] = DenseSum::fused(values, weights[k], sums[r][k]);
    }
  }
  if (const int64_t rest = layer.depth - d) {
    for (int r = 0; r < kRows; ++r) {
      const Floats values = DenseSum::load_some(input + r * layer.input_stride + d, rest);
      for (int k = 0; k < kOuts; ++k) {
        const Floats weights = DenseSum::load_some(weight + k * layer.weight_stride + d, rest);
        sums[r][k] = DenseSum::fused(values, weights, sums[r][k]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kOuts; ++k) {
      const float bias = layer.bias ? layer.bias[out + k] : 0.0f;
      layer.output[(row + r) * layer.output_stride + out + k] = DenseSum::total(sums[r][k]) + bias;
    }
  }
}

// All outputs from `first` on that fill tiles; returns the first one left.
template <int kRows, int kOuts>
MGNET_INLINE int64_t dense_outputs(const DenseLayer& layer, int64_t row, int64_t first,
                                   int64_t last) {
  for (; first + kOuts <= last; first += kOuts) dense_tile<kRows, kOuts>(layer, row, first);
  return first;
}

// Tiles fill the registers with sums. Weights are read once from far away: a few outputs' weights
// stay near while all rows pass.
static void dense(const DenseLayer& layer, int64_t first, int64_t last) {
  constexpr int64_t kNear = 3;
  int64_t row = 0;
  if (layer.rows >= 4) {
    const int64_t fours = layer.rows / 4 * 4;
    for (int64_t out = first; out < last; out += kNear) {
      const int64_t end = out + kNear < last ? out + kNear : last;
      for (row = 0; row < fours; row += 4) {
        const int64_t left = dense_outputs<4, 3>(layer, row, out, end);
        dense_outputs<4, 1>(layer, row, left, end);
      }
    }
    row = fours;
  }
  for (; row + 2 <= layer.rows; row += 2) {
    const int64_t left = dense_outputs<2, 4>(layer, row, first, last);
    dense_outputs<2, 1>(layer, row, left, last);
  }
  if (row < layer.rows) {
    const int64_t left = dense_outputs<1, 8>(layer, row, first, last);
    dense_outputs<1, 1>(layer, row, left, last);
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
