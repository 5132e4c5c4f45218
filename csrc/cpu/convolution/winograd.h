// Winograd's minimal filtering F(m x m, 3 x 3): tiles of m x m outputs, m = 2 or 4, from (m + 2)^2
// products a channel instead of 9 m^2. A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural
// Networks", arXiv 1509.09308, equations 8 to 13. Each axis evaluates polynomials at 0, infinity
// and, for m = 2, at -1 and 1; for m = 4 at -3/2, -3/4, 3/4 and 3/2, which lose a quarter of the
// digits that the usual -2, -1, 1 and 2 lose. mgnet_fast/engine/convolutions/winograd.py transforms
// the weights.
#pragma once

#include "cpu/convolution/part.h"

namespace mgnet {
namespace MGNET_ISA {

using Floats = SumLanes::Floats;

// One axis: values `step` apart in, values next to each other out.
struct TwoOutputs {
  static constexpr int kOutputs = 2, kPositions = 4;
  MGNET_INLINE void input(const Floats* v, int step, Floats* to) {
    const Floats a = v[0], b = v[step], c = v[2 * step], d = v[3 * step];
    to[0] = SumLanes::difference(c, a);
    to[1] = SumLanes::sum(b, c);
    to[2] = SumLanes::difference(c, b);
    to[3] = SumLanes::difference(d, b);
  }
  MGNET_INLINE void output(const Floats* v, int step, Floats* to) {
    const Floats b = v[step], c = v[2 * step];
    to[0] = SumLanes::sum(v[0], SumLanes::sum(b, c));
    to[1] = SumLanes::sum(v[3 * step], SumLanes::difference(b, c));
  }
};

struct FourOutputs {
  static constexpr int kOutputs = 4, kPositions = 6;
  static constexpr float kP = 0.75f, kQ = 1.5f, kP2 = kP * kP, kQ2 = kQ * kQ;

  MGNET_INLINE Floats fused(float a, Floats b, Floats c) {
    return SumLanes::fused(SumLanes::all(a), b, c);
  }
  MGNET_INLINE void input(const Floats* v, int step, Floats* to) {
    const Floats a = v[0], b = v[step], c = v[2 * step], d = v[3 * step];
    const Floats e = v[4 * step], f = v[5 * step];
    to[0] = fused(-(kP2 + kQ2), c, fused(kP2 * kQ2, a, e));
    const Floats even_p = fused(-kQ2, c, e), odd_p = fused(-kQ2, b, d);
    to[1] = fused(kP, odd_p, even_p);
    to[2] = fused(-kP, odd_p, even_p);
    const Floats even_q = fused(-kP2, c, e), odd_q = fused(-kP2, b, d);
    to[3] = fused(kQ, odd_q, even_q);
    to[4] = fused(-kQ, odd_q, even_q);
    to[5] = fused(-(kP2 + kQ2), d, fused(kP2 * kQ2, b, f));
  }
  MGNET_INLINE void output(const Floats* v, int step, Floats* to) {
    const Floats p = v[step], minus_p = v[2 * step], q = v[3 * step], minus_q = v[4 * step];
    const Floats even_p = SumLanes::sum(p, minus_p), odd_p = SumLanes::difference(p, minus_p);
    const Floats even_q = SumLanes::sum(q, minus_q), odd_q = SumLanes::difference(q, minus_q);
    to[0] = SumLanes::sum(v[0], SumLanes::sum(even_p, even_q));
    to[1] = fused(kP, odd_p, fused(kQ, odd_q, SumLanes::zero()));
    to[2] = fused(kP2, even_p, fused(kQ2, even_q, SumLanes::zero()));
    to[3] = fused(kP2 * kP, odd_p, fused(kQ2 * kQ, odd_q, v[5 * step]));
  }
};

// Lanes of some channels, zeros for those that are not there.
MGNET_INLINE Floats load_some(const float* from, int64_t lanes) {
  if (lanes >= kLanes) return SumLanes::load(from);
  float few[kLanes] = {};
  for (int64_t i = 0; i < lanes; ++i) few[i] = from[i];
  return SumLanes::load(few);
}

MGNET_INLINE void store_some(float* to, int64_t lanes, Floats v) {
  if (lanes >= kLanes) return SumLanes::store(to, v);
  float few[kLanes];
  SumLanes::store(few, v);
  for (int64_t i = 0; i < lanes; ++i) to[i] = few[i];
}

// A square of inputs on its way to be transformed.
template <class Axis>
struct InputSquare {
  static constexpr int kSide = Axis::kPositions;
  Floats values[kSide][kSide];  // those beyond the map stay 0
  int top, bottom, left, right;
  int64_t row, channels;  // floats of the map
  int64_t apart;          // positions in the result
};

// Some lanes of channels. Fields are copied to variables before a loop stores: the compiler cannot
// tell that vectors are not written over them.
template <class Axis>
MGNET_INLINE void transform_lanes(InputSquare<Axis>& square, const float* map, int64_t corner,
                                  int64_t lanes, float* to) {
  constexpr int kSide = Axis::kPositions;
  const int bottom = square.bottom, left = square.left, right = square.right;
  const int64_t channels = square.channels, apart = square.apart;
  for (int y = square.top; y < bottom; ++y) {
    const float* from = map + (corner + y * square.row + left * channels);
    for (int x = left; x < right; ++x, from += channels) {
      square.values[y][x] = load_some(from, lanes);
    }
  }
  Floats half[kSide][kSide], whole[kSide];
  for (int x = 0; x < kSide; ++x) Axis::input(&square.values[0][x], kSide, half[x]);
  for (int y = 0; y < kSide; ++y) {
    Axis::input(&half[0][y], kSide, whole);
    for (int x = 0; x < kSide; ++x, to += apart) store_some(to, lanes, whole[x]);
  }
}

template <class Axis>
static void transform_tiles(const WinogradTiles& all, int64_t first, int64_t last) {
  const int64_t channels = all.channels;
  for (int64_t t = first; t < last; ++t) {
    const WinogradTile& tile = all.tiles[(all.first + t) % all.per_image];
    const int64_t image = (all.first + t) / all.per_image;
    const int64_t corner = image * all.input_image + tile.input;
    InputSquare<Axis> square = {{},         tile.top,      tile.bottom, tile.left,
                                tile.right, all.input_row, channels,    all.apart * channels};
    float* to = all.transformed + t * channels;
    int64_t c = 0;
    for (; c + kLanes <= channels; c += kLanes) {
      transform_lanes<Axis>(square, all.input, corner + c, kLanes, to + c);
    }
    if (c < channels) {
      transform_lanes<Axis>(square, all.input, corner + c, channels - c, to + c);
    }
  }
}

template <class Axis>
static void finish_tiles(const WinogradTiles& all, const ConvolutionPart& part, int64_t block,
                         const float* sums) {
  constexpr int kSide = Axis::kPositions, kOutputs = Axis::kOutputs;
  const Finish how = finish_of(part, block);
  const int64_t apart = all.apart * kLanes, output_row = all.output_row, stride = part.stride;
  const float* other = part.other;
  float* output = part.output;
  for (int64_t t = 0; t < all.count; ++t) {
    const int64_t image = (all.first + t) / all.per_image;
    const WinogradTile& tile = all.tiles[(all.first + t) % all.per_image];
    const int rows = tile.rows, columns = tile.columns;
    Floats values[kSide][kSide], half[kSide][kOutputs], whole[kOutputs];
    const float* from = sums + t * kLanes;
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x, from += apart) values[y][x] = SumLanes::load(from);
    }
    for (int x = 0; x < kSide; ++x) Axis::output(&values[0][x], kSide, half[x]);
    const int64_t corner = image * all.output_image + tile.output + block * kLanes;
    for (int y = 0; y < rows; ++y) {
      Axis::output(&half[0][y], kOutputs, whole);
      for (int x = 0; x < columns; ++x) {
        const int64_t at = corner + y * output_row + x * stride;
        finish(how, whole[x], other ? other + at : nullptr, output + at);
      }
    }
  }
}

static void winograd_transform(const WinogradTiles& tiles, int64_t first, int64_t last) {
  if (tiles.size == TwoOutputs::kOutputs) {
    transform_tiles<TwoOutputs>(tiles, first, last);
  } else {
    transform_tiles<FourOutputs>(tiles, first, last);
  }
}

static void winograd_convolve(const WinogradTiles& tiles, const ConvolutionPart& part,
                              void* scratch) {
  float* sums = static_cast<float*>(scratch);
  add_part(part, sums);
  for (int64_t b = 0; b < part.blocks; ++b) {
    const float* of_block = sums + b * part.pixels * kLanes;
    if (tiles.size == TwoOutputs::kOutputs) {
      finish_tiles<TwoOutputs>(tiles, part, b, of_block);
    } else {
      finish_tiles<FourOutputs>(tiles, part, b, of_block);
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
