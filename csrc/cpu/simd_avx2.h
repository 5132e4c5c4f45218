// Eight floats. Intrinsics are named here and in the other simd_*.h, and in interleaved.h.
//
// A block is eight neighbouring outputs of a row. Each needs two neighbouring pixels of two rows;
// how they are fetched depends on how far apart the outputs fall, and is planned once per block and
// glimpse. All ways blend the two rows first, on contiguous vectors, and pick columns afterwards:
//
//   kWindow   all taps within 8 pixels: one load a row, two register permutes
//   kShifted  left taps within 8 pixels: a second load, one pixel on, holds the right taps
//   kQuads    two outputs within 4 pixels: four 16-byte loads a row, in-lane permutes only
//   kOctets   two outputs within 8 pixels: four 32-byte loads a row
//   kPairs    anything: one 8-byte load per output and row
//
// Gathers were 4 to 9 times slower than any of these.
#pragma once

#if defined(MGNET_EMULATED)  // every intrinsic in plain C++, to run AVX-512 code where there is
                             // none
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#else
#include <immintrin.h>
#endif

#include <cstdint>

#include "cpu/isa.h"
#include "cpu/tables.h"

namespace mgnet {
namespace MGNET_ISA {

struct Lanes8 {
  using Floats = __m256;
  using Pixel = float;
  enum { kCount = 8, kType = kFloat32 };
  enum Mode { kWindow, kShifted, kQuads, kOctets, kPairs, kModes };

  struct Plan {
    int32_t mode;
    int32_t base[8];  // pixel offsets: of the window, of four windows, of eight pairs
    alignas(32) int32_t permute[16];
  };

  MGNET_INLINE Floats load(const float* p) { return _mm256_loadu_ps(p); }
  MGNET_INLINE void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
  MGNET_INLINE Floats all(float v) { return _mm256_set1_ps(v); }
  MGNET_INLINE Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  MGNET_INLINE Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
  // Lanes below `from` become 0.
  MGNET_INLINE Floats keep_from(Floats v, int from) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i keep = _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(from - 1));
    return _mm256_and_ps(v, _mm256_castsi256_ps(keep));
  }
  MGNET_INLINE void add_to_doubles(double* to, Floats v) {
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), low));
    _mm256_storeu_pd(to + 4, _mm256_add_pd(_mm256_loadu_pd(to + 4), high));
  }

  // Plans pairs of outputs (0,1) (2,3) (4,5) (6,7) in windows of `window` pixels each. The permute
  // of one window gives (left, left, right, right) for its two outputs.
  MGNET_INLINE bool plan_two_by_two(Plan& plan, const int32_t* index, int64_t width, int window) {
    if (width < window) return false;
    const int slot[4] = {0, 8, 4, 12};  // outputs 0,1 and 4,5 share a vector, 2,3 and 6,7 another
    int widest = 0;
    for (int k = 0; k < 4; ++k) {
      const int32_t first = index[2 * k], second = index[2 * k + 1];
      int32_t base = first < second ? first : second;
      base = base < width - window ? base : (int32_t)(width - window);
      const int32_t a = first - base, b = second - base;
      widest = a > widest ? a : widest;
      widest = b > widest ? b : widest;
      plan.base[k] = base;
      int32_t* to = plan.permute + slot[k];
      to[0] = a;
      to[1] = b;
      to[2] = a + 1;
      to[3] = b + 1;
    }
    return widest <= window - 2;
  }

  // index: the left taps of the block's outputs, monotone; width: pixels in a row.
  MGNET_INLINE void plan_block(Plan& plan, const int32_t* index, int64_t width) {
    const int32_t low = index[0] < index[7] ? index[0] : index[7];
    const int32_t high = index[0] < index[7] ? index[7] : index[0];
    if (high - low < 8 && width >= 8) {
      // One window, or the same window read a second time one pixel further on.
      const int32_t last = (int32_t)width - 8;
      const int32_t base = low < last ? low : last;
      if (high + 1 - base < 8 || base < last) {
        plan.mode = high + 1 - base < 8 ? kWindow : kShifted;
        plan.base[0] = base;
        const __m256i at = _mm256_loadu_si256((const __m256i*)index);
        _mm256_store_si256((__m256i*)plan.permute, _mm256_sub_epi32(at, _mm256_set1_epi32(base)));
        return;
      }
    }
    if (plan_two_by_two(plan, index, width, 4)) {
      plan.mode = kQuads;
    } else if (plan_two_by_two(plan, index, width, 8)) {
      plan.mode = kOctets;
    } else {
      plan.mode = kPairs;
      for (int k = 0; k < 8; ++k) plan.base[k] = index[k];
    }
  }

  MGNET_INLINE Floats two_quads(const float* low, const float* high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
  }
  MGNET_INLINE __m128 two_pairs(const float* first, const float* second) {
    const __m128 low = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i*)first));
    return _mm_loadh_pi(low, (const __m64*)second);
  }
  MGNET_INLINE Floats four_pairs(const float* row, int32_t a, int32_t b, int32_t c, int32_t d) {
    const __m128 low = two_pairs(row + a, row + b);
    return _mm256_insertf128_ps(_mm256_castps128_ps256(low), two_pairs(row + c, row + d), 1);
  }

  // What stays in registers while a block goes down its rows.
  template <int kMode>
  struct Fetch {
    __m256i first, second;
    int64_t base[8];

    MGNET_INLINE Fetch of(const Plan& plan) {
      Fetch fetch;
      fetch.first = _mm256_load_si256((const __m256i*)plan.permute);
      if (kMode == kWindow) {
        fetch.second = _mm256_add_epi32(fetch.first, _mm256_set1_epi32(1));
      } else {
        fetch.second = _mm256_load_si256((const __m256i*)(plan.permute + 8));
      }
      const int bases = kMode == kPairs ? 8 : kMode == kQuads || kMode == kOctets ? 4 : 1;
      for (int k = 0; k < bases; ++k) fetch.base[k] = plan.base[k];
      return fetch;
    }

    MGNET_INLINE void pick_octets(const Fetch& f, const Floats* v, Floats* left, Floats* right) {
      const Floats p1 = _mm256_blend_ps(_mm256_permutevar8x32_ps(v[0], f.first),
                                        _mm256_permutevar8x32_ps(v[2], f.first), 0xf0);
      const Floats p2 = _mm256_blend_ps(_mm256_permutevar8x32_ps(v[1], f.second),
                                        _mm256_permutevar8x32_ps(v[3], f.second), 0xf0);
      *left = _mm256_shuffle_ps(p1, p2, 0x44);
      *right = _mm256_shuffle_ps(p1, p2, 0xee);
    }

    // For each of kSets pairs of row weights: the left and the right taps of the block, blended
    // between the two rows.
    template <int kSets>
    MGNET_INLINE void taps(const Fetch& f, const float* upper, const float* lower,
                           const Floats* upper_weight, const Floats* lower_weight, Floats* left,
                           Floats* right) {
      if (kMode == kWindow || kMode == kShifted) {
        const Floats u = load(upper + f.base[0]), l = load(lower + f.base[0]);
        Floats u2 = u, l2 = l;
        if (kMode == kShifted) {
          u2 = load(upper + f.base[0] + 1);
          l2 = load(lower + f.base[0] + 1);
        }
        for (int k = 0; k < kSets; ++k) {
          const Floats v = fused(lower_weight[k], l, multiply(upper_weight[k], u));
          left[k] = _mm256_permutevar8x32_ps(v, f.first);
          if (kMode == kWindow) {
            right[k] = _mm256_permutevar8x32_ps(v, f.second);
          } else {
            const Floats v2 = fused(lower_weight[k], l2, multiply(upper_weight[k], u2));
            right[k] = _mm256_permutevar8x32_ps(v2, f.first);
          }
        }
      } else if (kMode == kQuads) {
        const Floats u1 = two_quads(upper + f.base[0], upper + f.base[2]);
        const Floats u2 = two_quads(upper + f.base[1], upper + f.base[3]);
        const Floats l1 = two_quads(lower + f.base[0], lower + f.base[2]);
        const Floats l2 = two_quads(lower + f.base[1], lower + f.base[3]);
        for (int k = 0; k < kSets; ++k) {
          const Floats v1 = fused(lower_weight[k], l1, multiply(upper_weight[k], u1));
          const Floats v2 = fused(lower_weight[k], l2, multiply(upper_weight[k], u2));
          const Floats p1 = _mm256_permutevar_ps(v1, f.first);
          const Floats p2 = _mm256_permutevar_ps(v2, f.second);
          left[k] = _mm256_shuffle_ps(p1, p2, 0x44);
          right[k] = _mm256_shuffle_ps(p1, p2, 0xee);
        }
      } else if (kMode == kOctets) {
        Floats u[4], l[4];
        for (int w = 0; w < 4; ++w) {
          u[w] = load(upper + f.base[w]);
          l[w] = load(lower + f.base[w]);
        }
        if (kSets == 1) {
          Floats v[4];
          for (int w = 0; w < 4; ++w) {
            v[w] = fused(lower_weight[0], l[w], multiply(upper_weight[0], u[w]));
          }
          pick_octets(f, v, left, right);
          return;
        }
        // Picking first costs the same permutes once for two sets, and half the arithmetic; the
        // weights are the same in every lane, so the numbers are too.
        Floats upper_left, upper_right, lower_left, lower_right;
        pick_octets(f, u, &upper_left, &upper_right);
        pick_octets(f, l, &lower_left, &lower_right);
        for (int k = 0; k < kSets; ++k) {
          left[k] = fused(lower_weight[k], lower_left, multiply(upper_weight[k], upper_left));
          right[k] = fused(lower_weight[k], lower_right, multiply(upper_weight[k], upper_right));
        }
      } else {
        const int64_t* b = f.base;
        const Floats u1 = four_pairs(upper, b[0], b[1], b[4], b[5]);
        const Floats u2 = four_pairs(upper, b[2], b[3], b[6], b[7]);
        const Floats l1 = four_pairs(lower, b[0], b[1], b[4], b[5]);
        const Floats l2 = four_pairs(lower, b[2], b[3], b[6], b[7]);
        for (int k = 0; k < kSets; ++k) {
          const Floats v1 = fused(lower_weight[k], l1, multiply(upper_weight[k], u1));
          const Floats v2 = fused(lower_weight[k], l2, multiply(upper_weight[k], u2));
          left[k] = _mm256_shuffle_ps(v1, v2, 0x88);
          right[k] = _mm256_shuffle_ps(v1, v2, 0xdd);
        }
      }
    }
  };
};

}  // namespace MGNET_ISA
}  // namespace mgnet
