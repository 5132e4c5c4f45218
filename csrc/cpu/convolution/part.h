// One block of output channels of some pixels. Each output is the sum of its runs in order, each
// run cut into pieces of kChain products, each piece one chain of fused multiply-adds. So its bits
// depend neither on the tile that it is computed in, nor on the pixels and images beside it, nor on
// the instruction set where that multiplies and adds without rounding in between.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/convolution/lanes.h"
#include "cpu/isa.h"
#include "job.h"

namespace mgnet {
namespace MGNET_ISA {

constexpr int64_t kLanes = kConvolutionLanes;
constexpr int64_t kChain = 256;  // its float32 weights fill half of a first-level cache
// Weights of a lower precision are converted once for so many tiles, instead of by each.
constexpr int64_t kTilesWorthConverting = 3;

struct Float32Weights {
  using Stored = float;
  MGNET_INLINE SumLanes::Floats load(const float* from) { return SumLanes::load(from); }
};
struct Float16Weights {
  using Stored = uint16_t;
  MGNET_INLINE SumLanes::Floats load(const uint16_t* from) { return SumLanes::load_half(from); }
};
struct Int8Weights {
  using Stored = int8_t;
  MGNET_INLINE SumLanes::Floats load(const int8_t* from) { return SumLanes::load_bytes(from); }
};

// Memory that the next piece will read, asked for bit by bit while this one is computed: into the
// first-level cache, and what follows it into the second, which has room for more requests.
struct Coming {
  static constexpr int64_t kFurther = 16384;
  const char* from;
  int64_t step;  // bytes a product
  MGNET_INLINE void ask(const Coming& coming, int64_t product) {
    const char* at = coming.from + product * coming.step;
    __builtin_prefetch(at, 0, 3);
    __builtin_prefetch(at + kFurther, 0, 2);
  }
};

struct TilePixels {
  const float* input;
  const int32_t *begin, *pixel;
  float* sums;
};

template <class Weights, int kCount>
static void add_tile(const TilePixels& tile, const typename Weights::Stored* MGNET_RESTRICT weight,
                     int64_t depth, Coming coming) {
  const float* from[kCount];
  SumLanes::Floats own[kCount];
  for (int p = 0; p < kCount; ++p) {
    from[p] = tile.input + tile.begin[p];
    own[p] = SumLanes::zero();
  }
  for (int64_t d = 0; d < depth; ++d) {
    const SumLanes::Floats weights = Weights::load(weight + d * kLanes);
    Coming::ask(coming, d);
    for (int p = 0; p < kCount; ++p) own[p] = SumLanes::fused(from[p][d], weights, own[p]);
  }
  for (int p = 0; p < kCount; ++p) {
    float* to = tile.sums + tile.pixel[p] * kLanes;
    SumLanes::store(to, SumLanes::sum(SumLanes::load(to), own[p]));
  }
}

template <class Weights, int kCount>
MGNET_INLINE void add_tile_of(int64_t count, const TilePixels& tile,
                              const typename Weights::Stored* weight, int64_t depth,
                              Coming coming) {
  if (count == kCount) {
    add_tile<Weights, kCount>(tile, weight, depth, coming);
  } else if constexpr (kCount > 1) {
    add_tile_of<Weights, kCount - 1>(count, tile, weight, depth, coming);
  }
}

MGNET_INLINE int64_t tile_count(const ConvolutionRun& run) {
  return (run.count + SumLanes::kPixels - 1) / SumLanes::kPixels;
}

// Tiles of nearly equal size, because a small one has too few sums to keep the units busy.
template <class Weights>
static void add_tiles(const ConvolutionRun& run, const float* input, float* sums,
                      const typename Weights::Stored* weight, int64_t depth, Coming coming) {
  const int64_t tiles = tile_count(run);
  const Coming of_piece = coming;
  coming.step /= tiles;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = run.count * t / tiles, end = run.count * (t + 1) / tiles;
    coming.from = of_piece.from + of_piece.step * depth * t / tiles;
    add_tile_of<Weights, SumLanes::kPixels>(
        end - begin, {input, run.input + begin, run.pixel + begin, sums}, weight, depth, coming);
  }
}

template <class Weights>
static void add_runs(const ConvolutionPart& part, float* sums, float* converted) {
  using Stored = typename Weights::Stored;
  constexpr int64_t kBytes = kLanes * int64_t(sizeof(Stored));
  for (int64_t r = 0; r < part.run_count; ++r) {
    const ConvolutionRun& run = part.runs[r];
    const bool convert = kBytes < kLanes * 4 && tile_count(run) >= kTilesWorthConverting;
    for (int64_t first = 0; first < run.depth; first += kChain) {
      const int64_t depth = run.depth - first < kChain ? run.depth - first : kChain;
      const Stored* weight =
          static_cast<const Stored*>(part.weight) + (run.first_weight + first) * kLanes;
      const Coming coming = {reinterpret_cast<const char*>(weight + depth * kLanes), kBytes};
      if (convert) {
        for (int64_t d = 0; d < depth; ++d) {
          SumLanes::store(converted + d * kLanes, Weights::load(weight + d * kLanes));
        }
        add_tiles<Float32Weights>(run, part.input + first, sums, converted, depth, coming);
      } else {
        add_tiles<Weights>(run, part.input + first, sums, weight, depth, coming);
      }
    }
  }
}

MGNET_INLINE void finish(const ConvolutionPart& part, const float* sums) {
  const SumLanes::Floats scale = SumLanes::load(part.scale), bias = SumLanes::load(part.bias);
  for (int64_t p = 0; p < part.pixels; ++p) {
    SumLanes::Floats value = SumLanes::fused(SumLanes::load(sums + p * kLanes), scale, bias);
    float* to = part.output + p * part.stride;
    const float* other = part.other ? part.other + p * part.stride : nullptr;
    float few[kLanes] = {};
    if (part.lanes < kLanes) {
      for (int64_t i = 0; other && i < part.lanes; ++i) few[i] = other[i];
      other = few;
    }
    if (other) value = SumLanes::sum(value, SumLanes::load(other));
    if (part.relu) value = SumLanes::relu(value);
    if (part.lanes == kLanes) {
      SumLanes::store(to, value);
    } else {
      SumLanes::store(few, value);
      for (int64_t i = 0; i < part.lanes; ++i) to[i] = few[i];
    }
  }
}

static size_t convolution_scratch_bytes(int64_t pixels) {
  return size_t((pixels + kChain) * kLanes) * sizeof(float);
}

static void convolve(const ConvolutionPart& part, void* scratch) {
  float* sums = static_cast<float*>(scratch);
  float* converted = sums + part.pixels * kLanes;
  for (int64_t p = 0; p < part.pixels; ++p) SumLanes::store(sums + p * kLanes, SumLanes::zero());
  switch (part.weight_type) {
    case kFloat16Weights:
      add_runs<Float16Weights>(part, sums, converted);
      break;
    case kInt8Weights:
      add_runs<Int8Weights>(part, sums, converted);
      break;
    default:
      add_runs<Float32Weights>(part, sums, converted);
  }
  finish(part, sums);
}

}  // namespace MGNET_ISA
}  // namespace mgnet
