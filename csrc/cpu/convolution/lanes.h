// Sixteen floats side by side: one register of AVX-512, two of AVX2, an array elsewhere.
#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "element.h"

#if defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)
#include <immintrin.h>
#endif

namespace mgnet {
namespace MGNET_ISA {

// Emulated AVX-512 takes the registers that are there: the emulation lacks some conversions.
#if defined(MGNET_ISA_AVX512) && !defined(MGNET_EMULATED)

struct SumLanes {
  using Floats = __m512;
  // Sums that fill the registers: pixels of a tile times blocks of outputs. With two blocks a pixel
  // is loaded once for two multiply-adds, of which some processors do as many at a time as loads.
  static constexpr int kBlocks = 2, kPixels = 12;
  MGNET_INLINE Floats zero() { return _mm512_setzero_ps(); }
  MGNET_INLINE Floats load(const float* from) { return _mm512_loadu_ps(from); }
  MGNET_INLINE Floats load_half(const uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from));
  }
  MGNET_INLINE Floats load_bytes(const int8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)from)));
  }
  MGNET_INLINE void store(float* to, Floats v) { _mm512_storeu_ps(to, v); }
  MGNET_INLINE Floats all(float a) { return _mm512_set1_ps(a); }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  MGNET_INLINE Floats sum(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  MGNET_INLINE Floats difference(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
  // The second operand is the result where one is NaN.
  MGNET_INLINE Floats relu(Floats v) { return _mm512_max_ps(_mm512_setzero_ps(), v); }
};

#elif defined(MGNET_ISA_AVX512) || defined(MGNET_ISA_AVX2)

struct SumLanes {
  struct Floats {
    __m256 low, high;
  };
#if defined(MGNET_ISA_AVX512)
  static constexpr int kBlocks = 2, kPixels = 6;  // as many blocks as the instructions above
#else
  static constexpr int kBlocks = 1, kPixels = 6;
#endif
  MGNET_INLINE Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  MGNET_INLINE Floats load(const float* from) {
    return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
  }
  MGNET_INLINE Floats load_half(const uint16_t* from) {
    return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from)),
            _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(from + 8)))};
  }
  MGNET_INLINE Floats load_bytes(const int8_t* from) {
    const auto eight = [](const int8_t* at) {
      return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)at)));
    };
    return {eight(from), eight(from + 8)};
  }
  MGNET_INLINE void store(float* to, Floats v) {
    _mm256_storeu_ps(to, v.low);
    _mm256_storeu_ps(to + 8, v.high);
  }
  MGNET_INLINE Floats all(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
  }
  MGNET_INLINE Floats sum(Floats a, Floats b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
  }
  MGNET_INLINE Floats difference(Floats a, Floats b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  // The second operand is the result where one is NaN.
  MGNET_INLINE Floats relu(Floats v) {
    const __m256 zero = _mm256_setzero_ps();
    return {_mm256_max_ps(zero, v.low), _mm256_max_ps(zero, v.high)};
  }
};

#else

struct SumLanes {
  struct Floats {
    float lane[16];
  };
  static constexpr int kBlocks = 1, kPixels = 2;
  MGNET_INLINE Floats zero() { return {}; }
  template <class Load>
  MGNET_INLINE Floats each(const Load& load) {
    Floats v;
    for (int i = 0; i < 16; ++i) v.lane[i] = load(i);
    return v;
  }
  MGNET_INLINE Floats load(const float* from) {
    return each([&](int i) { return from[i]; });
  }
  MGNET_INLINE Floats load_half(const uint16_t* from) {
    return each([&](int i) { return half_to_float(from[i]); });
  }
  MGNET_INLINE Floats load_bytes(const int8_t* from) {
    return each([&](int i) { return (float)from[i]; });
  }
  MGNET_INLINE void store(float* to, Floats v) {
    for (int i = 0; i < 16; ++i) to[i] = v.lane[i];
  }
  MGNET_INLINE float fused_one(float a, float b, float c) {
#if defined(__FP_FAST_FMAF)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
  }
  MGNET_INLINE Floats all(float a) {
    return each([&](int) { return a; });
  }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) {
    return each([&](int i) { return fused_one(a.lane[i], b.lane[i], c.lane[i]); });
  }
  MGNET_INLINE Floats sum(Floats a, Floats b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  MGNET_INLINE Floats difference(Floats a, Floats b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  MGNET_INLINE Floats relu(Floats v) {
    return each([&](int i) { return v.lane[i] < 0.0f ? 0.0f : v.lane[i]; });
  }
};

#endif

}  // namespace MGNET_ISA
}  // namespace mgnet
