// One map of an attention pool, as products with a matrix whose rows lie side by side in memory:
// channels of positions, or positions of channels. Every number is added up in an order that
// depends on its own row or column alone.
#pragma once

#include <cstdint>

#include "attention/attention_pool.h"
#include "cpu/isa.h"

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
#include <immintrin.h>
#endif

namespace mgnet {
namespace MGNET_ISA {

#if defined(MGNET_ISA_AVX512)
struct AttentionLanes {
  using Floats = __m512;
  enum { kCount = 16, kTile = 16 };  // kTile: vectors of sums that fit into the registers
  MGNET_INLINE Floats load(const float* p) { return _mm512_loadu_ps(p); }
  MGNET_INLINE void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
  MGNET_INLINE Floats all(float v) { return _mm512_set1_ps(v); }
  MGNET_INLINE Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
};
#elif defined(MGNET_ISA_AVX2)
struct AttentionLanes {
  using Floats = __m256;
  enum { kCount = 8, kTile = 8 };
  MGNET_INLINE Floats load(const float* p) { return _mm256_loadu_ps(p); }
  MGNET_INLINE void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
  MGNET_INLINE Floats all(float v) { return _mm256_set1_ps(v); }
  MGNET_INLINE Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
};
#else
struct AttentionLanes {
  struct Floats {
    float lane[4];
  };
  enum { kCount = 4, kTile = 4 };
  MGNET_INLINE Floats load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
  MGNET_INLINE void store(float* p, Floats v) {
    for (int i = 0; i < kCount; ++i) p[i] = v.lane[i];
  }
  MGNET_INLINE Floats all(float v) { return {{v, v, v, v}}; }
  MGNET_INLINE Floats multiply(Floats a, Floats b) {
    for (int i = 0; i < kCount; ++i) a.lane[i] *= b.lane[i];
    return a;
  }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) {
    for (int i = 0; i < kCount; ++i) c.lane[i] += a.lane[i] * b.lane[i];
    return c;
  }
};
#endif

struct Matrix {
  const float* data;
  int64_t rows, columns, stride;
};

MGNET_INLINE float lane_total(AttentionLanes::Floats v) {
  float lanes[AttentionLanes::kCount];
  AttentionLanes::store(lanes, v);
  for (int width = AttentionLanes::kCount / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

template <int kRows>
MGNET_INLINE void dot_some_rows(const Matrix& m, int64_t row, const float* v, float* out) {
  using L = AttentionLanes;
  const float* from = m.data + row * m.stride;
  L::Floats even[kRows], odd[kRows];
  for (int r = 0; r < kRows; ++r) even[r] = odd[r] = L::all(0.0f);
  int64_t k = 0;
  for (; k + 2 * L::kCount <= m.columns; k += 2 * L::kCount) {
    const L::Floats first = L::load(v + k), second = L::load(v + k + L::kCount);
    for (int r = 0; r < kRows; ++r) {
      const float* at = from + r * m.stride + k;
      even[r] = L::fused(L::load(at), first, even[r]);
      odd[r] = L::fused(L::load(at + L::kCount), second, odd[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float rest = 0.0f;
    for (int64_t j = k; j < m.columns; ++j) rest += from[r * m.stride + j] * v[j];
    out[row + r] = (lane_total(even[r]) + lane_total(odd[r])) + rest;
  }
}

// out[r] = sum over the columns of m[r][k] v[k].
MGNET_INLINE void dot_rows(const Matrix& m, const float* v, float* out) {
  int64_t row = 0;
  for (; row + 4 <= m.rows; row += 4) dot_some_rows<4>(m, row, v, out);
  for (; row < m.rows; ++row) dot_some_rows<1>(m, row, v, out);
}

template <int kVectors>
MGNET_INLINE void add_some_columns(const Matrix& m, int64_t column, const float* w, float* out) {
  using L = AttentionLanes;
  L::Floats sums[kVectors];
  for (int i = 0; i < kVectors; ++i) sums[i] = L::all(0.0f);
  const float* at = m.data + column;
  for (int64_t row = 0; row < m.rows; ++row, at += m.stride) {
    const L::Floats share = L::all(w[row]);
    for (int i = 0; i < kVectors; ++i) {
      sums[i] = L::fused(share, L::load(at + i * L::kCount), sums[i]);
    }
  }
  for (int i = 0; i < kVectors; ++i) L::store(out + column + i * L::kCount, sums[i]);
}

// out[k] = sum over the rows of w[r] m[r][k].
MGNET_INLINE void add_columns(const Matrix& m, const float* w, float* out) {
  using L = AttentionLanes;
  int64_t k = 0;
  for (; k + L::kTile * L::kCount <= m.columns; k += L::kTile * L::kCount) {
    add_some_columns<L::kTile>(m, k, w, out);
  }
  for (; k + L::kCount <= m.columns; k += L::kCount) add_some_columns<1>(m, k, w, out);
  for (; k < m.columns; ++k) {
    float sum = 0.0f;
    for (int64_t row = 0; row < m.rows; ++row) sum += w[row] * m.data[row * m.stride + k];
    out[k] = sum;
  }
}

// to[k] = a x[k] + b y[k].
MGNET_INLINE void mix(float* to, int64_t count, float a, const float* x, float b, const float* y) {
  using L = AttentionLanes;
  const L::Floats all_a = L::all(a), all_b = L::all(b);
  int64_t k = 0;
  for (; k + L::kCount <= count; k += L::kCount) {
    L::store(to + k, L::fused(all_a, L::load(x + k), L::multiply(all_b, L::load(y + k))));
  }
  for (; k < count; ++k) to[k] = a * x[k] + b * y[k];
}

MGNET_INLINE Matrix map_of(const AttendedMaps& maps, int64_t map) {
  const float* data = maps.data + map * maps.stride_image;
  if (maps.channels_last) return {data, maps.positions, maps.channels, maps.stride_row};
  return {data, maps.channels, maps.positions, maps.stride_row};
}

// out[i] = the sum over the channels of v[c] and the map.
MGNET_INLINE void score(const AttendedMaps& maps, const Matrix& m, const float* v, float* out) {
  if (maps.channels_last) {
    dot_rows(m, v, out);
  } else {
    add_columns(m, v, out);
  }
}

// out[c] = the sum over the positions of w[i] and the map.
MGNET_INLINE void pool(const AttendedMaps& maps, const Matrix& m, const float* w, float* out) {
  if (maps.channels_last) {
    add_columns(m, w, out);
  } else {
    dot_rows(m, w, out);
  }
}

MGNET_INLINE void softmax(float* scores, int64_t count) {
  float largest = scores[0];
  for (int64_t i = 1; i < count; ++i) largest = scores[i] > largest ? scores[i] : largest;
  double total = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    scores[i] = __builtin_expf(scores[i] - largest);
    total += (double)scores[i];
  }
  const float share = (float)(1.0 / total);
  for (int64_t i = 0; i < count; ++i) scores[i] *= share;
}

static void attention(const AttendedMaps& maps, const Attended& found, int64_t map) {
  const Matrix m = map_of(maps, map);
  float* weights = found.weights + map * maps.positions;
  score(maps, m, maps.query + map * maps.stride_query, weights);
  softmax(weights, maps.positions);
  pool(maps, m, weights, found.pooled + map * maps.channels);
}

// With a the weights, q the query and d the incoming gradient of the pooled vector:
//   e_i = <d, l_i> + the incoming gradient of a_i,  s_i = a_i (e_i - sum of a e),
//   gradient of l_i = a_i d + s_i q,  gradient of q = sum of s_i l_i.
static void attention_backward(const AttendedMaps& maps, const AttendedGradients& gradients,
                               int64_t map, float* slopes) {
  const Matrix m = map_of(maps, map);
  const int64_t channels = maps.channels, positions = maps.positions;
  const float* weights = gradients.weights + map * positions;
  const float* incoming = gradients.from_pooled + map * channels;
  const float* query = maps.query + map * maps.stride_query;
  score(maps, m, incoming, slopes);
  if (gradients.from_weights) {
    const float* more = gradients.from_weights + map * positions;
    for (int64_t i = 0; i < positions; ++i) slopes[i] += more[i];
  }
  double mean = 0.0;
  for (int64_t i = 0; i < positions; ++i) mean += (double)weights[i] * (double)slopes[i];
  for (int64_t i = 0; i < positions; ++i) {
    slopes[i] = weights[i] * (float)((double)slopes[i] - mean);
  }
  pool(maps, m, slopes, gradients.query + map * channels);
  if (!gradients.maps) return;
  float* to = gradients.maps + map * channels * positions;
  for (int64_t row = 0; row < m.rows; ++row, to += m.columns) {
    if (maps.channels_last) {
      mix(to, channels, weights[row], incoming, slopes[row], query);
    } else {
      mix(to, positions, incoming[row], weights, query[row], slopes);
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
