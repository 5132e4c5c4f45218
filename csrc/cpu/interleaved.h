// Images with three interleaved channels (HWC): camera bytes, and channels_last floats.
//
// A pixel is half a vector, so one vector holds the three channels of two outputs, j and j + 4 of a
// block of eight: the rows of a block become planes by transposing within halves. All six elements
// of a tap lie side by side; they are read by two loads that overlap and never pass the row's end.
// Row by row, unlike the planar path: no column permutes have to be kept in registers.
// One unit is a chunk of rows of a glimpse, all channels.
#pragma once

#include "cpu/generic.h"
#include "cpu/simd_avx2_narrow.h"

namespace mgnet {
namespace MGNET_ISA {

enum { kChunkRows = 32, kPixel = 4 };

// Taps of outputs j and j + 4: (r g b x | r g b x), x is anything finite or not and never used.
// kLast: one of the block's taps is the last of its row, where a byte load must begin earlier.
struct FloatPixels {
  using Pixel = float;
  enum { kType = kFloat32 };
  template <bool kLast>
  MGNET_INLINE void get(const Pixel* row, int64_t a, int64_t b, int64_t, __m256& left,
                        __m256& right) {
    left = Lanes8::two_quads(row + a, row + b);
    right = _mm256_permute_ps(Lanes8::two_quads(row + a + 2, row + b + 2), 0x39);
  }
};

MGNET_INLINE __m256i two_words(const void* a, const void* b) {
  const __m128i low = _mm_loadl_epi64((const __m128i*)a);
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), _mm_loadl_epi64((const __m128i*)b),
                                 1);
}

MGNET_INLINE __m128i four_shorts(const uint16_t* a, const uint16_t* b) {
  return _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i*)a), _mm_loadl_epi64((const __m128i*)b));
}

struct Float16Pixels {
  using Pixel = uint16_t;
  enum { kType = kFloat16 };
  template <bool kLast>
  MGNET_INLINE void get(const Pixel* row, int64_t a, int64_t b, int64_t, __m256& left,
                        __m256& right) {
    left = _mm256_cvtph_ps(four_shorts(row + a, row + b));
    right = _mm256_permute_ps(_mm256_cvtph_ps(four_shorts(row + a + 2, row + b + 2)), 0x39);
  }
};

struct BFloat16Pixels {
  using Pixel = uint16_t;
  enum { kType = kBFloat16 };
  MGNET_INLINE __m256 widen(__m128i v) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
  }
  template <bool kLast>
  MGNET_INLINE void get(const Pixel* row, int64_t a, int64_t b, int64_t, __m256& left,
                        __m256& right) {
    left = widen(four_shorts(row + a, row + b));
    right = _mm256_permute_ps(widen(four_shorts(row + a + 2, row + b + 2)), 0x39);
  }
};

struct BytePixels {
  using Pixel = uint8_t;
  enum { kType = kUInt8 };
  template <bool kLast>
  MGNET_INLINE void get(const Pixel* row, int64_t a, int64_t b, int64_t last, __m256& left,
                        __m256& right) {
    __m256i bytes;
    if (kLast) {
      // Eight bytes from the last tap on would pass the row's end by two.
      const int back_a = a == last ? 2 : 0, back_b = b == last ? 2 : 0;
      const uint64_t word_a = load_unaligned<uint64_t>(row + a - back_a) >> (8 * back_a);
      const uint64_t word_b = load_unaligned<uint64_t>(row + b - back_b) >> (8 * back_b);
      bytes = _mm256_setr_epi64x((int64_t)word_a, 0, (int64_t)word_b, 0);
    } else {
      bytes = two_words(row + a, row + b);
    }
    const __m256i first =
        _mm256_setr_epi8(0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, -1, -1, -1, -1, 0, -1, -1, -1,
                         1, -1, -1, -1, 2, -1, -1, -1, -1, -1, -1, -1);
    const __m256i second =
        _mm256_setr_epi8(3, -1, -1, -1, 4, -1, -1, -1, 5, -1, -1, -1, -1, -1, -1, -1, 3, -1, -1, -1,
                         4, -1, -1, -1, 5, -1, -1, -1, -1, -1, -1, -1);
    left = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, first));
    right = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes, second));
  }
};

struct InterleavedScratch {
  GlimpseTables<float> tables;
  // Per pair of outputs, in the order that blocks take them, every value once for each channel.
  float* left;
  float* right;
  float* left_slope;
  float* right_slope;
  float* weight;
  float* slope;
  int32_t* offset;  // of the left tap in its row, in elements
  uint8_t* last;    // per block: see kLast
  float* pixels;    // a row of the glimpse or of its gradient, four floats a pixel
  float* row;       // the same in the order of the caller's memory
  float* sums_x;    // per column and channel, in the order of the weights
};

MGNET_INLINE InterleavedScratch take_interleaved_scratch(Arena& arena, const Job& job) {
  const int64_t w = padded(job.glimpses.width);
  InterleavedScratch s;
  s.tables = take_glimpse_tables<float>(arena, job);
  s.left = Arena::take<float>(arena, w * kPixel);
  s.right = Arena::take<float>(arena, w * kPixel);
  s.left_slope = Arena::take<float>(arena, w * kPixel);
  s.right_slope = Arena::take<float>(arena, w * kPixel);
  s.weight = Arena::take<float>(arena, w * kPixel);
  s.slope = Arena::take<float>(arena, w * kPixel);
  s.offset = Arena::take<int32_t>(arena, w);
  s.last = Arena::take<uint8_t>(arena, w);
  s.pixels = Arena::take<float>(arena, w * kPixel);
  s.row = Arena::take<float>(arena, w * kPixel);
  s.sums_x = Arena::take<float>(arena, w * kPixel);
  return s;
}

// Rows padded to whole blocks need no tail: what the padding computes is not stored.
MGNET_INLINE bool interleaved_takes(const Job& job) {
  const Images& images = job.images;
  return images.type != kFloat64 && images.channels == 3 && images.stride_c == 1 &&
         images.stride_w == 3 && images.width >= 3;
}

// For the pair of outputs (j, j + 4): four times to[j], four times to[j + 4].
MGNET_INLINE void spread(float* to, const float* from, int64_t count) {
  for (int64_t start = 0; start < count; start += 8) {
    for (int64_t j = start; j < start + 4; ++j, to += 8) {
      _mm_storeu_ps(to, _mm_set1_ps(from[j]));
      _mm_storeu_ps(to + 4, _mm_set1_ps(from[j + 4]));
    }
  }
}

template <bool kSlopes>
static void fill_interleaved_tables(InterleavedScratch& s, const Job& job, int64_t n) {
  fill_glimpse_tables<float, kSlopes>(s.tables, job, n);
  if (!s.tables.region.finite) return;
  const AxisTable<float>& columns = s.tables.columns;
  const int64_t w = padded(job.glimpses.width);
  const int32_t last = (int32_t)s.tables.source.width - 2;
  spread(s.left, columns.left, w);
  spread(s.right, columns.right, w);
  spread(s.weight, columns.weight, w);
  if (kSlopes) {
    spread(s.left_slope, columns.left_slope, w);
    spread(s.right_slope, columns.right_slope, w);
    spread(s.slope, columns.slope, w);
  }
  for (int64_t j = 0; j < w; ++j) s.offset[j] = 3 * columns.index[j];
  for (int64_t k = 0; k < w / 8; ++k) {
    s.last[k] = 0;
    for (int64_t j = 8 * k; j < 8 * k + 8; ++j) s.last[k] |= columns.index[j] == last;
  }
}

// (0 0 0 0 | 4 4 4 4) (1 | 5) (2 | 6) (3 | 7), pixels, to (r0..r7) (g0..g7) (b0..b7).
MGNET_INLINE void pixels_to_planes(const __m256* v, __m256* plane) {
  const __m256 rg01 = _mm256_unpacklo_ps(v[0], v[1]), rg23 = _mm256_unpacklo_ps(v[2], v[3]);
  const __m256 b01 = _mm256_unpackhi_ps(v[0], v[1]), b23 = _mm256_unpackhi_ps(v[2], v[3]);
  plane[0] = _mm256_shuffle_ps(rg01, rg23, 0x44);
  plane[1] = _mm256_shuffle_ps(rg01, rg23, 0xee);
  plane[2] = _mm256_shuffle_ps(b01, b23, 0x44);
}

struct ChannelConstants {
  __m256 scale, bias;
};

MGNET_INLINE ChannelConstants channel_constants(const Job& job) {
  float scale[8] = {1, 1, 1, 1, 1, 1, 1, 1}, bias[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  for (int c = 0; job.sampling.scale && c < 3; ++c) {
    scale[c] = scale[c + 4] = (float)job.sampling.scale[c];
    bias[c] = bias[c + 4] = (float)job.sampling.bias[c];
  }
  return {_mm256_loadu_ps(scale), _mm256_loadu_ps(bias)};
}

template <class Pixels>
MGNET_INLINE const typename Pixels::Pixel* interleaved_row(const Job& job, const Source& source,
                                                           int32_t row) {
  return (const typename Pixels::Pixel*)job.images.data + source.offset + row * source.stride_h;
}

// One block of eight outputs of one row, as pixels.
template <class Pixels, bool kLast, bool kNormalise>
MGNET_INLINE void forward_eight(const InterleavedScratch& s, const ChannelConstants& constants,
                                const typename Pixels::Pixel* upper,
                                const typename Pixels::Pixel* lower, int64_t last, int64_t k,
                                __m256 upper_weight, __m256 lower_weight, __m256 row_weight,
                                __m256* value) {
  for (int p = 0; p < 4; ++p) {
    const int64_t a = s.offset[8 * k + p], b = s.offset[8 * k + p + 4];
    const int64_t at = (8 * k + 2 * p) * kPixel;
    __m256 upper_left, upper_right, lower_left, lower_right;
    Pixels::template get<kLast>(upper, a, b, last, upper_left, upper_right);
    Pixels::template get<kLast>(lower, a, b, last, lower_left, lower_right);
    const __m256 left =
        _mm256_fmadd_ps(lower_weight, lower_left, _mm256_mul_ps(upper_weight, upper_left));
    const __m256 right =
        _mm256_fmadd_ps(lower_weight, lower_right, _mm256_mul_ps(upper_weight, upper_right));
    __m256 left_weight = _mm256_load_ps(s.left + at), right_weight = _mm256_load_ps(s.right + at);
    if (kNormalise) {
      left_weight = _mm256_mul_ps(left_weight, constants.scale);
      right_weight = _mm256_mul_ps(right_weight, constants.scale);
      const __m256 bias = _mm256_mul_ps(constants.bias, _mm256_load_ps(s.weight + at));
      value[p] = _mm256_fmadd_ps(left_weight, left, _mm256_mul_ps(row_weight, bias));
      value[p] = _mm256_fmadd_ps(right_weight, right, value[p]);
    } else {
      value[p] = _mm256_fmadd_ps(right_weight, right, _mm256_mul_ps(left_weight, left));
    }
  }
}

template <class Pixels, bool kNormalise>
static void forward_interleaved_rows(const Job& job, const InterleavedScratch& s, int64_t n,
                                     int64_t first, int64_t last_row) {
  const Glimpses& to = job.glimpses;
  const Source& source = s.tables.source;
  const AxisTable<float>& rows = s.tables.rows;
  const ChannelConstants constants = channel_constants(job);
  const int64_t w = to.width, blocks = (w + 7) / 8, last = 3 * (source.width - 2);
  const int64_t step_h = source.height > 1 ? source.stride_h : 0;
  const bool pixels_out = to.stride_c == 1 && to.stride_w == 3;
  const bool planes_out = rows_are_floats(to);
  const int64_t plane_size = padded(w);
  for (int64_t i = first; i < last_row; ++i) {
    const typename Pixels::Pixel* upper = interleaved_row<Pixels>(job, source, rows.index[i]);
    const typename Pixels::Pixel* lower = upper + step_h;
    const __m256 upper_weight = _mm256_set1_ps(rows.left[i]);
    const __m256 lower_weight = _mm256_set1_ps(rows.right[i]);
    const __m256 row_weight = _mm256_set1_ps(rows.weight[i]);
    for (int64_t k = 0; k < blocks; ++k) {
      __m256 value[4];
      if (s.last[k]) {
        forward_eight<Pixels, true, kNormalise>(s, constants, upper, lower, last, k, upper_weight,
                                                lower_weight, row_weight, value);
      } else {
        forward_eight<Pixels, false, kNormalise>(s, constants, upper, lower, last, k, upper_weight,
                                                 lower_weight, row_weight, value);
      }
      if (pixels_out) {
        // Each store's fourth float is overwritten by the next pixel.
        float* pixel = s.row + 24 * k;
        for (int p = 0; p < 4; ++p) _mm_storeu_ps(pixel + 3 * p, _mm256_castps256_ps128(value[p]));
        for (int p = 0; p < 4; ++p) {
          _mm_storeu_ps(pixel + 12 + 3 * p, _mm256_extractf128_ps(value[p], 1));
        }
        continue;
      }
      __m256 plane[3];
      pixels_to_planes(value, plane);
      for (int c = 0; c < 3; ++c) {
        if (planes_out && 8 * k + 8 <= w) {
          float* out = (float*)to.data + glimpse_row_offset(to, n, c, i);
          _mm256_storeu_ps(out + 8 * k, plane[c]);
        } else {
          _mm256_storeu_ps(s.row + c * plane_size + 8 * k, plane[c]);
        }
      }
    }
    if (pixels_out) {
      store_row(to.type, s.row, to.data, glimpse_row_offset(to, n, 0, i), 1, 3 * w);
      continue;
    }
    const int64_t stored = planes_out ? w / 8 * 8 : 0;
    for (int c = 0; stored < w && c < 3; ++c) {
      store_row(to.type, s.row + c * plane_size + stored, to.data,
                glimpse_row_offset(to, n, c, i) + stored * to.stride_w, to.stride_w, w - stored);
    }
  }
}

MGNET_INLINE int64_t interleaved_chunks(const Job& job) {
  return (job.glimpses.height + kChunkRows - 1) / kChunkRows;
}

template <class Pixels>
static void forward_interleaved(const Job& job, int64_t first_unit, int64_t last_unit,
                                void* memory) {
  Arena arena{(char*)memory, 0};
  InterleavedScratch s = take_interleaved_scratch(arena, job);
  const int64_t chunks = interleaved_chunks(job), w = job.glimpses.width;
  for (int64_t unit = first_unit; unit < last_unit; ++unit) {
    const int64_t n = unit / chunks, chunk = unit % chunks;
    if (unit == first_unit || chunk == 0) fill_interleaved_tables<false>(s, job, n);
    const int64_t first = chunk * kChunkRows;
    const int64_t last = smaller(first + kChunkRows, job.glimpses.height);
    if (!s.tables.region.finite) {
      for (int64_t j = 0; j < w; ++j) s.row[j] = __builtin_nanf("");
      for (int c = 0; c < 3; ++c) {
        for (int64_t i = first; i < last; ++i) {
          store_row(job.glimpses.type, s.row, job.glimpses.data,
                    glimpse_row_offset(job.glimpses, n, c, i), job.glimpses.stride_w, w);
        }
      }
    } else if (job.sampling.scale) {
      forward_interleaved_rows<Pixels, true>(job, s, n, first, last);
    } else {
      forward_interleaved_rows<Pixels, false>(job, s, n, first, last);
    }
  }
}

// One row of the incoming gradient as pixels in the order of the weights; 0 beyond the row.
static void load_gradient_pixels(const Job& job, const InterleavedScratch& s, int64_t n,
                                 int64_t i) {
  const Glimpses& from = job.glimpses;
  for (int c = 0; c < 3; ++c) {
    load_row(from.type, s.row, from.data, glimpse_row_offset(from, n, c, i), from.stride_w,
             from.width);
    for (int64_t j = from.width; j < padded(from.width); ++j) s.row[j] = 0.0f;
    for (int64_t start = 0; start < from.width; start += 8) {
      float* to = s.pixels + start * kPixel + c;
      for (int p = 0; p < 4; ++p) {
        to[8 * p] = s.row[start + p];
        to[8 * p + 4] = s.row[start + p + 4];
      }
    }
  }
}

// Sums of one block of one row: along x into s.sums_x, along y returned.
template <class Pixels, bool kLast>
MGNET_INLINE __m256 backward_eight(const InterleavedScratch& s, const ChannelConstants& constants,
                                   const typename Pixels::Pixel* upper,
                                   const typename Pixels::Pixel* lower, int64_t last, int64_t k,
                                   int64_t i, __m256 sum_y) {
  const AxisTable<float>& rows = s.tables.rows;
  const __m256 upper_weight = _mm256_set1_ps(rows.left[i]);
  const __m256 lower_weight = _mm256_set1_ps(rows.right[i]);
  const __m256 upper_slope = _mm256_set1_ps(rows.left_slope[i]);
  const __m256 lower_slope = _mm256_set1_ps(rows.right_slope[i]);
  const __m256 row_weight = _mm256_set1_ps(rows.weight[i]);
  const __m256 row_slope = _mm256_set1_ps(rows.slope[i]);
  // The fourth element of a pixel is not ours and may be NaN.
  const __m256i channels = _mm256_setr_epi32(-1, -1, -1, 0, -1, -1, -1, 0);
  for (int p = 0; p < 4; ++p) {
    const int64_t a = s.offset[8 * k + p], b = s.offset[8 * k + p + 4];
    const int64_t at = (8 * k + 2 * p) * kPixel;
    __m256 upper_left, upper_right, lower_left, lower_right;
    Pixels::template get<kLast>(upper, a, b, last, upper_left, upper_right);
    Pixels::template get<kLast>(lower, a, b, last, lower_left, lower_right);
    const __m256 left =
        _mm256_fmadd_ps(lower_weight, lower_left, _mm256_mul_ps(upper_weight, upper_left));
    const __m256 right =
        _mm256_fmadd_ps(lower_weight, lower_right, _mm256_mul_ps(upper_weight, upper_right));
    const __m256 down_left =
        _mm256_fmadd_ps(lower_slope, lower_left, _mm256_mul_ps(upper_slope, upper_left));
    const __m256 down_right =
        _mm256_fmadd_ps(lower_slope, lower_right, _mm256_mul_ps(upper_slope, upper_right));
    __m256 along_x = _mm256_mul_ps(_mm256_load_ps(s.left_slope + at), left);
    along_x = _mm256_fmadd_ps(_mm256_load_ps(s.right_slope + at), right, along_x);
    __m256 along_y = _mm256_mul_ps(_mm256_load_ps(s.left + at), down_left);
    along_y = _mm256_fmadd_ps(_mm256_load_ps(s.right + at), down_right, along_y);
    const __m256 bias_x = _mm256_mul_ps(constants.bias, _mm256_load_ps(s.slope + at));
    const __m256 bias_y = _mm256_mul_ps(constants.bias, _mm256_load_ps(s.weight + at));
    along_x = _mm256_fmadd_ps(along_x, constants.scale, _mm256_mul_ps(row_weight, bias_x));
    along_y = _mm256_fmadd_ps(along_y, constants.scale, _mm256_mul_ps(row_slope, bias_y));
    along_x = _mm256_and_ps(along_x, _mm256_castsi256_ps(channels));
    along_y = _mm256_and_ps(along_y, _mm256_castsi256_ps(channels));
    const __m256 g = _mm256_load_ps(s.pixels + at);
    _mm256_store_ps(s.sums_x + at, _mm256_fmadd_ps(g, along_x, _mm256_load_ps(s.sums_x + at)));
    sum_y = _mm256_fmadd_ps(g, along_y, sum_y);
  }
  return sum_y;
}

template <class Pixels>
static void backward_interleaved_rows(const Job& job, const InterleavedScratch& s, int64_t n,
                                      int64_t first, int64_t last_row, double* total) {
  const Source& source = s.tables.source;
  const AxisTable<float>& rows = s.tables.rows;
  const ChannelConstants constants = channel_constants(job);
  const int64_t blocks = (job.glimpses.width + 7) / 8, last = 3 * (source.width - 2);
  const int64_t step_h = source.height > 1 ? source.stride_h : 0;
  for (int64_t j = 0; j < 8 * blocks * kPixel; ++j) s.sums_x[j] = 0.0f;
  for (int64_t j = 0; j < 8 * blocks * kPixel; ++j) s.pixels[j] = 0.0f;
  double scale_y = 0.0, shift_y = 0.0, scale_x = 0.0, shift_x = 0.0;
  for (int64_t i = first; i < last_row; ++i) {
    load_gradient_pixels(job, s, n, i);
    const typename Pixels::Pixel* upper = interleaved_row<Pixels>(job, source, rows.index[i]);
    const typename Pixels::Pixel* lower = upper + step_h;
    __m256 sum_y = _mm256_setzero_ps();
    for (int64_t k = 0; k < blocks; ++k) {
      if (s.last[k]) {
        sum_y = backward_eight<Pixels, true>(s, constants, upper, lower, last, k, i, sum_y);
      } else {
        sum_y = backward_eight<Pixels, false>(s, constants, upper, lower, last, k, i, sum_y);
      }
    }
    double lanes[8] = {0, 0, 0, 0, 0, 0, 0, 0}, row_sum = 0.0;
    Lanes8::add_to_doubles(lanes, sum_y);
    for (int lane = 0; lane < 8; ++lane) row_sum += lanes[lane];
    scale_y += row_sum * rows.by_scale[i];
    shift_y += row_sum;
  }
  for (int64_t j = 0; j < 8 * blocks; ++j) {
    // The weights' order: pairs (j, j + 4) of a block.
    const float* at = s.sums_x + (8 * (j / 8) + 2 * (j % 4) + (j % 8) / 4) * kPixel;
    const double column = (double)at[0] + (double)at[1] + (double)at[2];
    scale_x += column * s.tables.columns.by_scale[j];
    shift_x += column;
  }
  const double per_x = pixels_per_position(source.width, job.sampling.align_corners);
  const double per_y = pixels_per_position(source.height, job.sampling.align_corners);
  total[0] = scale_x * per_x;
  total[1] = scale_y * per_y;
  total[2] = shift_x * per_x;
  total[3] = shift_y * per_y;
}

template <class Pixels>
static void backward_region_interleaved(const Job& job, int64_t first_unit, int64_t last_unit,
                                        double* sums, void* memory) {
  Arena arena{(char*)memory, 0};
  InterleavedScratch s = take_interleaved_scratch(arena, job);
  const int64_t chunks = interleaved_chunks(job);
  for (int64_t unit = first_unit; unit < last_unit; ++unit) {
    const int64_t n = unit / chunks, chunk = unit % chunks;
    if (unit == first_unit || chunk == 0) fill_interleaved_tables<true>(s, job, n);
    double* total = sums + unit * kRegionSums;
    const int64_t first = chunk * kChunkRows;
    const int64_t last = smaller(first + kChunkRows, job.glimpses.height);
    if (s.tables.region.finite) {
      backward_interleaved_rows<Pixels>(job, s, n, first, last, total);
    } else {
      for (int i = 0; i < kRegionSums; ++i) total[i] = __builtin_nan("");
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
