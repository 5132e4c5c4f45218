#include "convolutions/winograd.h"

#include <algorithm>

#include "convolutions/axis.h"
#include "cpu/kernels.h"
#include "parallel.h"

namespace mgnet {
namespace {

constexpr int64_t kNearBytes = 384 * 1024;  // of transformed inputs: the second-level cache
constexpr int64_t kLeastTogether = 12, kMostTogether = 192;

}  // namespace

WinogradPlan::WinogradPlan(const ConvolutionShape& shape) : ConvolutionPlan(shape) {
  const ConvolutionShape& s = shape_;
  const int64_t size = s.winograd, side = size + 2;
  positions_ = side * side;
  for (int64_t y = 0; y < out_h_; y += size) {
    for (int64_t x = 0; x < out_w_; x += size) {
      const int64_t top = y - s.padding_h, left = x - s.padding_w;
      const auto within = [side](int64_t begin, int64_t end) {
        return static_cast<int32_t>(std::clamp<int64_t>(end - begin, 0, side));
      };
      tiles_.push_back({(top * s.width + left) * s.channels, within(top, 0), within(top, s.height),
                        within(left, 0), within(left, s.width), (y * out_w_ + x) * s.outputs,
                        static_cast<int32_t>(std::min(size, out_h_ - y)),
                        static_cast<int32_t>(std::min(size, out_w_ - x))});
    }
  }
  const int64_t tile_bytes = positions_ * s.channels * int64_t(sizeof(float));
  together_ = std::clamp(kNearBytes / tile_bytes, kLeastTogether, kMostTogether);
  for (int64_t position = 0; position < positions_; ++position) {
    for (int64_t t = 0; t < together_; ++t) {
      input_.push_back(static_cast<int32_t>((position * together_ + t) * s.channels));
      pixel_.push_back(static_cast<int32_t>(position * together_ + t));
    }
  }
}

void WinogradPlan::run_checked(const ConvolutionCall& call, int threads) const {
  const ConvolutionShape& s = shape_;
  const int64_t per_image = static_cast<int64_t>(tiles_.size()), all = call.images * per_image;
  const int64_t chunks = ceil_divide(all, together_);
  const Kernels& kernels = convolution_kernels();
  const int64_t blocks = ceil_divide(s.outputs, kConvolutionLanes);
  const int64_t groups = ceil_divide(blocks, kernels.convolution_blocks);
  const int64_t depth = positions_ * s.channels;
  const int64_t block_bytes = depth * kConvolutionLanes * bytes_of(s.weight_type);
  const int64_t sums = positions_ * together_;
  const size_t transformed_bytes = ceil_divide(together_ * depth * sizeof(float), 64) * 64;
  const size_t own_bytes = ceil_divide(kernels.convolution_scratch_bytes(sums), 64) * 64;

  const auto tiles_of = [&](int64_t chunk, void* transformed) {
    const int64_t first = all * chunk / chunks, last = all * (chunk + 1) / chunks;
    return WinogradTiles{static_cast<int>(s.winograd),
                         tiles_.data(),
                         per_image,
                         first,
                         last - first,
                         together_,
                         s.channels,
                         input_floats(),
                         s.width * s.channels,
                         output_floats(),
                         out_w_ * s.outputs,
                         call.input,
                         static_cast<float*>(transformed)};
  };
  const auto multiply = [&](const WinogradTiles& tiles, int64_t group, void* scratch) {
    auto* runs = reinterpret_cast<ConvolutionRun*>(static_cast<char*>(scratch) + own_bytes);
    for (int64_t p = 0; p < positions_; ++p) {
      runs[p] = {p * s.channels,
                 s.channels,
                 1,
                 0,
                 0,
                 input_.data() + p * together_,
                 pixel_.data() + p * together_,
                 tiles.count};
    }
    const int64_t block = group * kernels.convolution_blocks;
    const int64_t together = std::min(kernels.convolution_blocks, blocks - block);
    const int64_t first = block * kConvolutionLanes;
    kernels.winograd_convolve(
        tiles,
        {runs, positions_, true, tiles.transformed, s.weight_type,
         static_cast<const char*>(call.weight) + block * block_bytes, together, depth,
         call.scale + first, call.bias + first, sums,
         std::min<int64_t>(together * kConvolutionLanes, s.outputs - first),
         call.other ? call.other + first : nullptr, call.output + first, s.outputs, s.relu},
        scratch);
  };

  const size_t scratch_bytes = own_bytes + static_cast<size_t>(positions_) * sizeof(ConvolutionRun);
  const double products = double(all) * double(s.outputs) * double(depth);
  threads = useful_threads(products * kMicrosecondsPerProduct, std::max(chunks, groups), threads);
  if (chunks >= 2 * threads) {
    for_units(chunks, threads, transformed_bytes + scratch_bytes,
              [&](int64_t first, int64_t last, void* memory) {
                for (int64_t chunk = first; chunk < last; ++chunk) {
                  const WinogradTiles tiles = tiles_of(chunk, memory);
                  kernels.winograd_transform(tiles, 0, tiles.count);
                  for (int64_t group = 0; group < groups; ++group) {
                    multiply(tiles, group, static_cast<char*>(memory) + transformed_bytes);
                  }
                }
              });
    return;
  }
  // Too few chunks for the threads: they share each one.
  const AlignedMemory transformed(transformed_bytes);
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    const WinogradTiles tiles = tiles_of(chunk, transformed.data);
    for_units(tiles.count, static_cast<int>(std::min<int64_t>(threads, tiles.count)), 0,
              [&](int64_t first, int64_t last, void*) {
                kernels.winograd_transform(tiles, first, last);
              });
    for_units(groups, static_cast<int>(std::min<int64_t>(threads, groups)), scratch_bytes,
              [&](int64_t first, int64_t last, void* scratch) {
                for (int64_t group = first; group < last; ++group) {
                  multiply(tiles, group, scratch);
                }
              });
  }
}

}  // namespace mgnet
