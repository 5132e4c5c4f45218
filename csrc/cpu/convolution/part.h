// Some blocks of output channels of some pixels. Each output is the sum of its runs in order, each
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
constexpr int64_t kChain =
    kConvolutionChain;  // its float32 weights fill half of a first-level cache
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
  MGNET_INLINE void ask(const Coming& coming, int64_t offset, int64_t product) {
    const char* at = coming.from + offset + product * coming.step;
    __builtin_prefetch(at, 0, 3);
    __builtin_prefetch(at + kFurther, 0, 2);
  }
};

struct Tile {
  const float* input;
  const int32_t *begin, *pixel;
  float* sums;
  int64_t sums_apart;  // between two blocks
  int64_t input_row;
};

// The weights of a piece: `rows` times `depth` products of each block.
template <class Weights>
struct Piece {
  const typename Weights::Stored* weight;
  int64_t apart, rows, depth;  // apart: between two blocks
  int64_t row;                 // from one row to the next, in products
  Coming coming;
  int64_t coming_apart;  // in bytes
  bool begins;           // a sum; else there is one to add to
};

// A name for the spread pixel, and GCC 12 keeps it, a pair of registers in AVX2, in memory instead.
template <class Weights, int kBlocks, int kCount>
static void add_tile(const Tile& tile, const Piece<Weights>& piece) {
  const float* from[kCount];
  SumLanes::Floats own[kBlocks][kCount];
  for (int p = 0; p < kCount; ++p) from[p] = tile.input + tile.begin[p];
  for (int b = 0; b < kBlocks; ++b) {
    for (int p = 0; p < kCount; ++p) own[b][p] = SumLanes::zero();
  }
  for (int64_t r = 0; r < piece.rows; ++r) {
    const typename Weights::Stored* MGNET_RESTRICT weight = piece.weight + r * piece.row * kLanes;
    const int64_t input = r * tile.input_row, product = r * piece.depth;
    for (int64_t d = 0; d < piece.depth; ++d) {
      SumLanes::Floats weights[kBlocks];
      for (int b = 0; b < kBlocks; ++b) {
        weights[b] = Weights::load(weight + b * piece.apart + d * kLanes);
        Coming::ask(piece.coming, b * piece.coming_apart, product + d);
      }
      for (int p = 0; p < kCount; ++p) {
        for (int b = 0; b < kBlocks; ++b) {
          own[b][p] = SumLanes::fused(SumLanes::all(from[p][input + d]), weights[b], own[b][p]);
        }
      }
    }
  }
  for (int b = 0; b < kBlocks; ++b) {
    for (int p = 0; p < kCount; ++p) {
      float* to = tile.sums + b * tile.sums_apart + tile.pixel[p] * kLanes;
      SumLanes::store(to, piece.begins ? own[b][p] : SumLanes::sum(SumLanes::load(to), own[b][p]));
    }
  }
}

template <class Weights, int kBlocks, int kCount>
MGNET_INLINE void add_tile_of(int64_t count, const Tile& tile, const Piece<Weights>& piece) {
  if (count == kCount) {
    add_tile<Weights, kBlocks, kCount>(tile, piece);
  } else if constexpr (kCount > 1) {
    add_tile_of<Weights, kBlocks, kCount - 1>(count, tile, piece);
  }
}

MGNET_INLINE int64_t tile_count(const ConvolutionRun& run) {
  return (run.count + SumLanes::kPixels - 1) / SumLanes::kPixels;
}

// Tiles of nearly equal size, because a small one has too few sums to keep the units busy.
template <class Weights, int kBlocks>
static void add_tiles(const ConvolutionRun& run, Tile tile, Piece<Weights> piece) {
  const int64_t tiles = tile_count(run);
  const Coming of_piece = piece.coming;
  piece.coming.step /= tiles;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t begin = run.count * t / tiles, end = run.count * (t + 1) / tiles;
    piece.coming.from = of_piece.from + of_piece.step * piece.rows * piece.depth * t / tiles;
    tile.begin = run.input + begin;
    tile.pixel = run.pixel + begin;
    add_tile_of<Weights, kBlocks, SumLanes::kPixels>(end - begin, tile, piece);
  }
}

template <class Weights, int kBlocks>
static void add_runs(const ConvolutionPart& part, float* sums, float* converted) {
  using Stored = typename Weights::Stored;
  constexpr int64_t kBytes = kLanes * int64_t(sizeof(Stored));
  const Stored* all = static_cast<const Stored*>(part.weight);
  for (int64_t r = 0; r < part.run_count; ++r) {
    const ConvolutionRun& run = part.runs[r];
    const bool convert = kBytes < kLanes * 4 && tile_count(run) >= kTilesWorthConverting;
    for (int64_t first = 0; first < run.depth; first += kChain) {
      const int64_t depth = run.depth - first < kChain ? run.depth - first : kChain;
      const int64_t at = run.first_weight + first;
      const int64_t next = at + (run.rows - 1) * run.weight_row + depth;
      // After the last piece come the next blocks, which follow the last of these.
      const int64_t jump = next < part.depth ? next : next + (kBlocks - 1) * part.depth;
      const Coming coming = {reinterpret_cast<const char*>(all + jump * kLanes), kBytes};
      const Tile tile = {part.input + first,   nullptr,      nullptr, sums,
                         part.pixels * kLanes, run.input_row};
      const Stored* weight = all + at * kLanes;
      const int64_t apart = part.depth * kLanes, coming_apart = part.depth * kBytes;
      const bool begins = part.one_each && first == 0;
      if (convert) {
        for (int b = 0; b < kBlocks; ++b) {
          float* to = converted + b * kChain * kLanes;
          for (int64_t row = 0; row < run.rows; ++row) {
            const Stored* from = weight + b * apart + row * run.weight_row * kLanes;
            for (int64_t d = 0; d < depth; ++d, to += kLanes) {
              SumLanes::store(to, Weights::load(from + d * kLanes));
            }
          }
        }
        add_tiles<Float32Weights, kBlocks>(
            run, tile,
            {converted, kChain * kLanes, run.rows, depth, depth, coming, coming_apart, begins});
      } else {
        add_tiles<Weights, kBlocks>(
            run, tile,
            {weight, apart, run.rows, depth, run.weight_row, coming, coming_apart, begins});
      }
    }
  }
}

// What becomes of the sums of a block: relu(scale * sum + bias + other).
struct Finish {
  SumLanes::Floats scale, bias;
  int64_t lanes;  // fewer than kLanes in the last block
  bool relu;
};

MGNET_INLINE Finish finish_of(const ConvolutionPart& part, int64_t block) {
  const int64_t first = block * kLanes, left = part.lanes - first;
  return {SumLanes::load(part.scale + first), SumLanes::load(part.bias + first),
          left < kLanes ? left : kLanes, part.relu};
}

MGNET_INLINE void finish(const Finish& how, SumLanes::Floats sum, const float* other, float* to) {
  SumLanes::Floats value = SumLanes::fused(sum, how.scale, how.bias);
  float few[kLanes] = {};
  if (how.lanes < kLanes) {
    for (int64_t i = 0; other && i < how.lanes; ++i) few[i] = other[i];
    other = few;
  }
  if (other) value = SumLanes::sum(value, SumLanes::load(other));
  if (how.relu) value = SumLanes::relu(value);
  if (how.lanes == kLanes) {
    SumLanes::store(to, value);
  } else {
    SumLanes::store(few, value);
    for (int64_t i = 0; i < how.lanes; ++i) to[i] = few[i];
  }
}

static size_t convolution_scratch_bytes(int64_t pixels) {
  return size_t((pixels + kChain) * SumLanes::kBlocks * kLanes) * sizeof(float);
}

template <int kBlocks>
static void add_blocks(const ConvolutionPart& part, float* sums) {
  float* converted = sums + part.pixels * kBlocks * kLanes;
  switch (part.weight_type) {
    case kFloat16Weights:
      return add_runs<Float16Weights, kBlocks>(part, sums, converted);
    case kInt8Weights:
      return add_runs<Int8Weights, kBlocks>(part, sums, converted);
    default:
      return add_runs<Float32Weights, kBlocks>(part, sums, converted);
  }
}

// The sums of all blocks of the part: [blocks, pixels, kLanes].
static void add_part(const ConvolutionPart& part, float* sums) {
  for (int64_t p = 0; !part.one_each && p < part.blocks * part.pixels; ++p) {
    SumLanes::store(sums + p * kLanes, SumLanes::zero());
  }
  if (part.blocks == 1) {
    add_blocks<1>(part, sums);
  } else {
    add_blocks<SumLanes::kBlocks>(part, sums);
  }
}

static void convolve(const ConvolutionPart& part, void* scratch) {
  float* sums = static_cast<float*>(scratch);
  const int64_t per_block = part.pixels * kLanes;
  add_part(part, sums);
  for (int64_t b = 0; b < part.blocks; ++b) {
    const Finish how = finish_of(part, b);
    for (int64_t p = 0; p < part.pixels; ++p) {
      const int64_t at = p * part.stride + b * kLanes;
      finish(how, SumLanes::load(sums + b * per_block + p * kLanes),
             part.other ? part.other + at : nullptr, part.output + at);
    }
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
