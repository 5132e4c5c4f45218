// The vectors of the filter: bytes summed as 16-bit words, dot products along a row, and three
// channels taken apart.
#pragma once

#include "cpu/dense.h"
#include "cpu/isa.h"
#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
#include "cpu/simd_avx2.h"
#endif

namespace mgnet {
namespace MGNET_ISA {

#if defined(MGNET_ISA_AVX512)
enum { kVectorBytes = 64 };
#elif defined(MGNET_ISA_AVX2)
enum { kVectorBytes = 32 };
#else
enum { kVectorBytes = 16 };
#endif

template <class Real>
struct VectorOf {
  enum { kLanes = kVectorBytes / sizeof(Real) };
  typedef Real Type __attribute__((vector_size(kVectorBytes)));
};

// As many bytes as a vector holds 16-bit words; their sums as two vectors of floats. Wider ones
// would wait for the memory as long.
#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
struct WordLanes {
  enum { kLanes = 16 };
  using Words = __m256i;
  MGNET_INLINE Words zero() { return _mm256_setzero_si256(); }
  MGNET_INLINE Words load(const uint8_t* from) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)from));
  }
  MGNET_INLINE Words add(Words a, Words b) { return _mm256_add_epi16(a, b); }
  typedef float Floats __attribute__((vector_size(32)));
  MGNET_INLINE Floats floats(Words words, int half) {
    const __m128i part = half ? _mm256_extracti128_si256(words, 1) : _mm256_castsi256_si128(words);
    return (Floats)_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(part));
  }
};
#else
struct WordLanes {
  enum { kLanes = 8 };
  struct Words {
    uint16_t lane[kLanes];
  };
  MGNET_INLINE Words zero() { return {}; }
  MGNET_INLINE Words load(const uint8_t* from) {
    Words words;
    for (int i = 0; i < kLanes; ++i) words.lane[i] = from[i];
    return words;
  }
  MGNET_INLINE Words add(Words a, Words b) {
    for (int i = 0; i < kLanes; ++i) a.lane[i] = (uint16_t)(a.lane[i] + b.lane[i]);
    return a;
  }
  MGNET_INLINE VectorOf<float>::Type floats(Words words, int half) {
    VectorOf<float>::Type out;
    for (int i = 0; i < 4; ++i) out[i] = (float)words.lane[4 * half + i];
    return out;
  }
};
#endif

// Dot products along a row run over whole pieces of this many weights.
enum { kPiece = 8 };

MGNET_INLINE float dot(const float* values, const float* weights, int64_t pieces) {
  DenseSum::Floats sum = DenseSum::zero();
  for (int64_t k = 0; k < pieces * kPiece; k += kPiece) {
    sum = DenseSum::fused(DenseSum::load(values + k), DenseSum::load(weights + k), sum);
  }
  return DenseSum::total(sum);
}

MGNET_INLINE double dot(const double* values, const double* weights, int64_t pieces) {
  double sums[kPiece] = {};
  for (int64_t k = 0; k < pieces * kPiece; k += kPiece) {
    for (int i = 0; i < kPiece; ++i) sums[i] += values[k + i] * weights[k + i];
  }
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// Eight such products, each of so many pieces; their weights follow each other.
template <class Real>
MGNET_INLINE void eight_dots(const Real* line, const int32_t* first, const Real* weights,
                             int64_t pieces, Real* out) {
  for (int i = 0; i < 8; ++i) out[i] = dot(line + first[i], weights + i * pieces * kPiece, pieces);
}

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
MGNET_INLINE void eight_dots(const float* line, const int32_t* first, const float* weights,
                             int64_t pieces, float* out) {
  __m256 sums[8];
  for (int i = 0; i < 8; ++i) {
    const float* values = line + first[i];
    const float* own = weights + i * pieces * kPiece;
    sums[i] = _mm256_mul_ps(_mm256_loadu_ps(values), _mm256_loadu_ps(own));
    for (int64_t k = kPiece; k < pieces * kPiece; k += kPiece) {
      sums[i] = _mm256_fmadd_ps(_mm256_loadu_ps(values + k), _mm256_loadu_ps(own + k), sums[i]);
    }
  }
  __m256 fours[2];
  for (int i = 0; i < 2; ++i) {
    fours[i] = _mm256_hadd_ps(_mm256_hadd_ps(sums[4 * i], sums[4 * i + 1]),
                              _mm256_hadd_ps(sums[4 * i + 2], sums[4 * i + 3]));
  }
  _mm256_storeu_ps(out, _mm256_add_ps(_mm256_permute2f128_ps(fours[0], fours[1], 0x20),
                                      _mm256_permute2f128_ps(fours[0], fours[1], 0x31)));
}
#endif

// Takes as many pixels of three channels apart as make whole vectors; returns how many.
template <class Real>
MGNET_INLINE int64_t split_three(const Real*, int64_t, Real*, int64_t) {
  return 0;
}

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
// Channel kChannel of eight pixels in three vectors: each lane is in one of them, and then lanes
// are put in order, as 3 k runs through all remainders of 8.
template <int kChannel>
MGNET_INLINE __m256 channel_of_three(__m256 a, __m256 b, __m256 c) {
  constexpr int kEveryThird[3] = {0x49, 0x92, 0x24};
  const __m256 mixed = _mm256_blend_ps(_mm256_blend_ps(a, b, kEveryThird[(kChannel + 1) % 3]), c,
                                       kEveryThird[(kChannel + 2) % 3]);
  const __m256i order = _mm256_and_si256(
      _mm256_setr_epi32(kChannel, kChannel + 3, kChannel + 6, kChannel + 9, kChannel + 12,
                        kChannel + 15, kChannel + 18, kChannel + 21),
      _mm256_set1_epi32(7));
  return _mm256_permutevar8x32_ps(mixed, order);
}

MGNET_INLINE int64_t split_three(const float* line, int64_t columns, float* to, int64_t stride) {
  int64_t x = 0;
  for (; x + 8 <= columns; x += 8) {
    const __m256 a = _mm256_loadu_ps(line + 3 * x), b = _mm256_loadu_ps(line + 3 * x + 8),
                 c = _mm256_loadu_ps(line + 3 * x + 16);
    _mm256_storeu_ps(to + x, channel_of_three<0>(a, b, c));
    _mm256_storeu_ps(to + stride + x, channel_of_three<1>(a, b, c));
    _mm256_storeu_ps(to + 2 * stride + x, channel_of_three<2>(a, b, c));
  }
  return x;
}
#endif

}  // namespace MGNET_ISA
}  // namespace mgnet
