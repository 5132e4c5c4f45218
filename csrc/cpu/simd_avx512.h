// Sixteen floats. Written against the AVX-512 F, BW, VL and DQ intrinsics; the planning above them
// is plain integer arithmetic. A block is sixteen neighbouring outputs of a row:
//
//   kWindow   all taps within 16 pixels: one load a row, two register permutes
//   kShifted  left taps within 16 pixels: a second load, one pixel on, holds the right taps
//   kTwo, kThree, kFour   all taps within 32, 48 or 64 pixels: that many loads per row, permutes of
//             two registers at a time, the last selected by a mask
//   kPairs    anything: one 8-byte load per output and row, as two blocks of eight
#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "cpu/simd_avx2.h"
#include "cpu/tables.h"

namespace mgnet {
namespace MGNET_ISA {

struct Lanes16 {
  using Floats = __m512;
  using Pixel = float;
  enum { kCount = 16, kType = kFloat32 };
  enum Mode { kWindow, kShifted, kTwo, kThree, kFour, kPairs, kModes };

  struct Plan {
    int32_t mode;
    int32_t base[16];
    alignas(64) int32_t permute[16];
  };

  MGNET_INLINE Floats load(const float* p) { return _mm512_loadu_ps(p); }
  MGNET_INLINE void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
  MGNET_INLINE Floats all(float v) { return _mm512_set1_ps(v); }
  MGNET_INLINE Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
  MGNET_INLINE Floats keep_from(Floats v, int from) {
    return _mm512_maskz_mov_ps((__mmask16)(0xffffu << from), v);
  }
  MGNET_INLINE void add_to_doubles(double* to, Floats v) {
    float lanes[16];
    _mm512_storeu_ps(lanes, v);
    for (int k = 0; k < 16; ++k) to[k] += (double)lanes[k];
  }

  MGNET_INLINE void plan_block(Plan& plan, const int32_t* index, int64_t width) {
    const int32_t low = index[0] < index[15] ? index[0] : index[15];
    const int32_t high = index[0] < index[15] ? index[15] : index[0];
    for (int32_t vectors = 1; vectors <= 4; ++vectors) {
      const int32_t pixels = 16 * vectors;
      if (width < pixels) break;
      const int32_t last = (int32_t)width - pixels;
      const int32_t base = low < last ? low : last;
      const bool fits = high + 1 - base < pixels;
      const bool fits_shifted = vectors == 1 && high - base < pixels && base < last;
      if (!fits && !fits_shifted) continue;
      const int32_t modes[5] = {kPairs, kWindow, kTwo, kThree, kFour};
      plan.mode = fits ? modes[vectors] : kShifted;
      plan.base[0] = base;
      for (int k = 0; k < 16; ++k) plan.permute[k] = index[k] - base;
      return;
    }
    plan.mode = kPairs;
    for (int k = 0; k < 16; ++k) plan.base[k] = index[k];
  }

  template <int kMode>
  struct Fetch {
    __m512i left_at, right_at;
    __mmask16 left_beyond, right_beyond;  // taps in the last one (kThree) or two (kFour) vectors
    int64_t base;
    Lanes8::Fetch<Lanes8::kPairs> low, high;

    MGNET_INLINE Fetch of(const Plan& plan) {
      Fetch f;
      if (kMode == kPairs) {
        for (int k = 0; k < 8; ++k) {
          f.low.base[k] = plan.base[k];
          f.high.base[k] = plan.base[k + 8];
        }
        return f;
      }
      f.base = plan.base[0];
      f.left_at = _mm512_load_si512((const void*)plan.permute);
      f.right_at = _mm512_add_epi32(f.left_at, _mm512_set1_epi32(1));
      f.left_beyond = _mm512_cmpgt_epi32_mask(f.left_at, _mm512_set1_epi32(31));
      f.right_beyond = _mm512_cmpgt_epi32_mask(f.right_at, _mm512_set1_epi32(31));
      return f;
    }

    // The lanes of `at` out of the vectors in v.
    MGNET_INLINE Floats pick(const Floats* v, __m512i at, __mmask16 beyond) {
      if (kMode == kWindow || kMode == kShifted) return _mm512_permutexvar_ps(at, v[0]);
      const Floats first = _mm512_permutex2var_ps(v[0], at, v[1]);
      if (kMode == kTwo) return first;
      if (kMode == kThree) return _mm512_mask_permutexvar_ps(first, beyond, at, v[2]);
      return _mm512_mask_blend_ps(beyond, first, _mm512_permutex2var_ps(v[2], at, v[3]));
    }

    template <int kSets>
    MGNET_INLINE void taps(const Fetch& f, const float* upper, const float* lower,
                           const Floats* upper_weight, const Floats* lower_weight, Floats* left,
                           Floats* right) {
      if (kMode == kPairs) {
        __m256 upper_half[kSets], lower_half[kSets];
        __m256 left_low[kSets], right_low[kSets], left_high[kSets], right_high[kSets];
        for (int k = 0; k < kSets; ++k) {
          upper_half[k] = _mm512_castps512_ps256(upper_weight[k]);
          lower_half[k] = _mm512_castps512_ps256(lower_weight[k]);
        }
        using Half = Lanes8::Fetch<Lanes8::kPairs>;
        Half::taps<kSets>(f.low, upper, lower, upper_half, lower_half, left_low, right_low);
        Half::taps<kSets>(f.high, upper, lower, upper_half, lower_half, left_high, right_high);
        for (int k = 0; k < kSets; ++k) {
          left[k] = _mm512_insertf32x8(_mm512_castps256_ps512(left_low[k]), left_high[k], 1);
          right[k] = _mm512_insertf32x8(_mm512_castps256_ps512(right_low[k]), right_high[k], 1);
        }
        return;
      }
      const int vectors = kMode == kTwo ? 2 : kMode == kThree ? 3 : kMode == kFour ? 4 : 1;
      Floats u[4], l[4];
      for (int w = 0; w < vectors; ++w) {
        u[w] = load(upper + f.base + 16 * w);
        l[w] = load(lower + f.base + 16 * w);
      }
      for (int k = 0; k < kSets; ++k) {
        Floats v[4];
        for (int w = 0; w < vectors; ++w) {
          v[w] = fused(lower_weight[k], l[w], multiply(upper_weight[k], u[w]));
        }
        left[k] = pick(v, f.left_at, f.left_beyond);
        if (kMode == kShifted) {
          const Floats next = fused(lower_weight[k], load(lower + f.base + 1),
                                    multiply(upper_weight[k], load(upper + f.base + 1)));
          right[k] = pick(&next, f.left_at, f.left_beyond);
        } else {
          right[k] = pick(v, f.right_at, f.right_beyond);
        }
      }
    }
  };
};

}  // namespace MGNET_ISA
}  // namespace mgnet
