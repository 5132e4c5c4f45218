// Eight outputs out of rows of bfloat16, float16 or bytes. The two pixels of a tap are one load of
// two narrow elements, and splitting them is a shift and a mask in the same lane.
#pragma once

#include "cpu/simd_avx2.h"

namespace mgnet {
namespace MGNET_ISA {

template <class PixelType>
MGNET_INLINE PixelType load_unaligned(const void* p) {
  PixelType value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

// Eight pairs of two 16-bit elements, one pair a lane.
MGNET_INLINE __m256i pairs_of_shorts(const uint16_t* row, const int64_t* at) {
  int32_t pair[8];
  for (int k = 0; k < 8; ++k) pair[k] = load_unaligned<int32_t>(row + at[k]);
  return _mm256_setr_epi32(pair[0], pair[1], pair[2], pair[3], pair[4], pair[5], pair[6], pair[7]);
}

struct BFloat16Pairs {
  using Pixel = uint16_t;
  enum { kType = kBFloat16 };
  MGNET_INLINE void get(const Pixel* row, const int64_t* at, __m256& left, __m256& right) {
    const __m256i pairs = pairs_of_shorts(row, at);
    left = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    right = _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000)));
  }
};

struct Float16Pairs {
  using Pixel = uint16_t;
  enum { kType = kFloat16 };
  MGNET_INLINE void get(const Pixel* row, const int64_t* at, __m256& left, __m256& right) {
    const __m256i pairs = pairs_of_shorts(row, at);
    // Within each half: the four left ones, then the four right ones.
    const __m256i order = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,  //
                                           0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __m256i sorted = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(pairs, order), 0xd8);
    left = _mm256_cvtph_ps(_mm256_castsi256_si128(sorted));
    right = _mm256_cvtph_ps(_mm256_extracti128_si256(sorted, 1));
  }
};

struct BytePairs {
  using Pixel = uint8_t;
  enum { kType = kUInt8 };
  MGNET_INLINE void get(const Pixel* row, const int64_t* at, __m256& left, __m256& right) {
    int16_t pair[8];
    for (int k = 0; k < 8; ++k) pair[k] = load_unaligned<int16_t>(row + at[k]);
    const __m256i pairs = _mm256_cvtepu16_epi32(
        _mm_setr_epi16(pair[0], pair[1], pair[2], pair[3], pair[4], pair[5], pair[6], pair[7]));
    left = _mm256_cvtepi32_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(0xff)));
    right = _mm256_cvtepi32_ps(_mm256_srli_epi32(pairs, 8));
  }
};

template <class Pairs>
struct NarrowLanes8 : Lanes8 {
  using Pixel = typename Pairs::Pixel;
  enum { kType = Pairs::kType, kModes = 1 };

  struct Plan {
    int32_t mode;
    int32_t base[8];
  };

  MGNET_INLINE void plan_block(Plan& plan, const int32_t* index, int64_t) {
    plan.mode = 0;
    for (int k = 0; k < 8; ++k) plan.base[k] = index[k];
  }

  template <int kMode>
  struct Fetch {
    int64_t base[8];

    MGNET_INLINE Fetch of(const Plan& plan) {
      Fetch fetch;
      for (int k = 0; k < 8; ++k) fetch.base[k] = plan.base[k];
      return fetch;
    }

    template <int kSets>
    MGNET_INLINE void taps(const Fetch& f, const Pixel* upper, const Pixel* lower,
                           const Floats* upper_weight, const Floats* lower_weight, Floats* left,
                           Floats* right) {
      Floats upper_left, upper_right, lower_left, lower_right;
      Pairs::get(upper, f.base, upper_left, upper_right);
      Pairs::get(lower, f.base, lower_left, lower_right);
      for (int k = 0; k < kSets; ++k) {
        left[k] = fused(lower_weight[k], lower_left, multiply(upper_weight[k], upper_left));
        right[k] = fused(lower_weight[k], lower_right, multiply(upper_weight[k], upper_right));
      }
    }
  };
};

}  // namespace MGNET_ISA
}  // namespace mgnet
