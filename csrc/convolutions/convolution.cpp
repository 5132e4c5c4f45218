#include "convolutions/convolution.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cpu/kernels.h"
#include "parallel.h"

namespace mgnet {
namespace {

constexpr double kMicrosecondsPerProduct = 2e-5;
constexpr int64_t kPixelsTogether = 288;    // their sums stay in the first-level cache
constexpr int64_t kShortRow = 192;          // inputs
constexpr int64_t kNearBytes = 512 * 1024;  // stay in the second-level cache
constexpr int64_t kLargestSize = 1 << 20;
constexpr double kMostElements = INT32_MAX;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t bytes_of(int weight_type) {
  return weight_type == kFloat32Weights ? 4 : weight_type == kFloat16Weights ? 2 : 1;
}

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

// A kernel along one axis of a map.
struct Axis {
  int64_t kernel, stride, padding, size;

  int64_t outputs() const { return (size + 2 * padding - kernel) / stride + 1; }
  int64_t input(int64_t output, int64_t position) const {
    return output * stride - padding + position;
  }
  // The outputs that see a pixel at this kernel position: first to second - 1.
  std::pair<int64_t, int64_t> seeing(int64_t position) const {
    int64_t first = 0, last = outputs();
    while (first < last && input(first, position) < 0) ++first;
    while (first < last && input(last - 1, position) >= size) --last;
    return {first, last};
  }
  // The kernel positions that see a pixel.
  std::pair<int64_t, int64_t> positions(int64_t output) const {
    const int64_t left = input(output, 0);
    return {std::max<int64_t>(0, -left), std::min(kernel, size - left)};
  }
};

Axis rows_of(const ConvolutionShape& s) { return {s.kernel_h, s.stride_h, s.padding_h, s.height}; }
Axis columns_of(const ConvolutionShape& s) {
  return {s.kernel_w, s.stride_w, s.padding_w, s.width};
}

}  // namespace

ConvolutionPlan::ConvolutionPlan(const ConvolutionShape& shape) : shape_(shape) {
  const ConvolutionShape& s = shape_;
  for (const int64_t size :
       {s.channels, s.outputs, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.height, s.width}) {
    require(size >= 1 && size <= kLargestSize, "sizes of a convolution must be from 1 to 2^20");
  }
  require(s.weight_type >= kFloat32Weights && s.weight_type <= kInt8Weights,
          "weight type code must be 0 (float32), 1 (float16) or 2 (int8)");
  for (const Axis& axis : {rows_of(s), columns_of(s)}) {
    require(axis.padding >= 0 && axis.padding < axis.kernel,
            "padding must be at least 0 and smaller than the kernel");
    require(axis.size + 2 * axis.padding >= axis.kernel,
            "the padded map must be at least as large as the kernel");
  }
  const double elements = double(s.height) * double(s.width) * double(s.channels);
  const double weights = double(s.kernel_h) * double(s.kernel_w) * double(s.channels);
  require(elements <= kMostElements && weights <= kMostElements,
          "a map and the weights of one output must have less than 2^31 elements");
  out_h_ = rows_of(s).outputs();
  out_w_ = columns_of(s).outputs();
  const int64_t rows = std::clamp<int64_t>(kPixelsTogether / out_w_, 1, out_h_);
  together_ = 1;
  if (rows == out_h_) {
    together_ = std::clamp<int64_t>(kPixelsTogether / (out_h_ * out_w_), 1,
                                    static_cast<int64_t>(kMostElements / elements));
  }
  const int64_t count = ceil_divide(out_h_, rows);
  for (int64_t k = 0; k < count; ++k) {
    const int64_t first = out_h_ * k / count, last = out_h_ * (k + 1) / count;
    strips_.push_back({first * out_w_, (last - first) * out_w_, {}, {}, {}});
    add_runs(strips_.back(), {first, last});
    most_runs_ = std::max(most_runs_, strips_.back().runs.size());
    most_pixels_ = std::max(most_pixels_, strips_.back().pixels);
  }
}

void ConvolutionPlan::add_runs(Strip& strip, Range rows) const {
  const ConvolutionShape& s = shape_;
  const Axis columns = columns_of(s);
  for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
    const Range seeing = rows_of(s).seeing(ky);
    const Range seen = {std::max(rows.first, seeing.first), std::min(rows.second, seeing.second)};
    if (s.kernel_w * s.channels > kShortRow) {
      for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
        add_run(strip, ky, {kx, kx + 1}, seen, columns.seeing(kx));
      }
      continue;
    }
    // Neighbouring columns that see the same positions of a short row share one run of them.
    for (int64_t column = 0, end; column < out_w_; column = end) {
      const Range positions = columns.positions(column);
      for (end = column + 1; end < out_w_ && columns.positions(end) == positions;) ++end;
      add_run(strip, ky, positions, seen, {column, end});
    }
  }
}

void ConvolutionPlan::add_run(Strip& strip, int64_t ky, Range positions, Range rows,
                              Range columns) const {
  const ConvolutionShape& s = shape_;
  if (positions.first >= positions.second || rows.first >= rows.second) return;
  if (columns.first >= columns.second) return;
  strip.runs.push_back({(ky * s.kernel_w + positions.first) * s.channels,
                        (positions.second - positions.first) * s.channels, strip.input.size(),
                        (rows.second - rows.first) * (columns.second - columns.first)});
  for (int64_t n = 0; n < together_; ++n) {
    for (int64_t y = rows.first; y < rows.second; ++y) {
      const int64_t row = n * s.height + rows_of(s).input(y, ky);
      for (int64_t x = columns.first; x < columns.second; ++x) {
        const int64_t column = columns_of(s).input(x, positions.first);
        strip.input.push_back(static_cast<int32_t>((row * s.width + column) * s.channels));
        strip.pixel.push_back(
            static_cast<int32_t>(n * strip.pixels + y * out_w_ + x - strip.first_pixel));
      }
    }
  }
}

void ConvolutionPlan::run(const ConvolutionCall& call, int threads) const {
  require(call.images >= 0, "there must be 0 images or more");
  if (call.images == 0) return;
  require(call.input && call.weight && call.scale && call.bias && call.output,
          "the addresses of a convolution must not be 0");
  const ConvolutionShape& s = shape_;
  const int64_t depth = s.kernel_h * s.kernel_w * s.channels;
  const Kernels& kernels = convolution_kernels();
  const int64_t strips = static_cast<int64_t>(strips_.size());
  const int64_t parts = ceil_divide(call.images, together_) * strips;
  const int64_t blocks = ceil_divide(s.outputs, kConvolutionLanes);
  const int64_t groups = ceil_divide(blocks, kernels.convolution_blocks);
  const int64_t block_bytes = depth * kConvolutionLanes * bytes_of(s.weight_type);
  // Weights that stay near are read again for each part, others only once.
  const bool parts_first = blocks * block_bytes <= kNearBytes;
  const int64_t most_pixels = most_pixels_ * std::min(call.images, together_);
  const size_t own_bytes = ceil_divide(kernels.convolution_scratch_bytes(most_pixels), 64) * 64;

  const auto compute = [&](int64_t group, int64_t part, void* scratch) {
    const Strip& strip = strips_[part % strips];
    const int64_t first_image = part / strips * together_;
    const int64_t images = std::min(together_, call.images - first_image);
    auto* runs = reinterpret_cast<ConvolutionRun*>(static_cast<char*>(scratch) + own_bytes);
    for (size_t r = 0; r < strip.runs.size(); ++r) {
      const Run& run = strip.runs[r];
      runs[r] = {run.first_weight, run.depth, strip.input.data() + run.begin,
                 strip.pixel.data() + run.begin, run.per_image * images};
    }
    const int64_t block = group * kernels.convolution_blocks;
    const int64_t together = std::min(kernels.convolution_blocks, blocks - block);
    const int64_t first_output = block * kConvolutionLanes;
    const int64_t at =
        (first_image * out_h_ * out_w_ + strip.first_pixel) * s.outputs + first_output;
    kernels.convolve({runs, static_cast<int64_t>(strip.runs.size()),
                      call.input + first_image * s.height * s.width * s.channels, s.weight_type,
                      static_cast<const char*>(call.weight) + block * block_bytes, together, depth,
                      call.scale + first_output, call.bias + first_output, strip.pixels * images,
                      std::min<int64_t>(together * kConvolutionLanes, s.outputs - first_output),
                      call.other ? call.other + at : nullptr, call.output + at, s.outputs, s.relu},
                     scratch);
  };
  const double products =
      double(call.images) * double(out_h_ * out_w_) * double(s.outputs) * double(depth);
  const int64_t units = groups * parts;
  for_units(units, useful_threads(products * kMicrosecondsPerProduct, units, threads),
            own_bytes + most_runs_ * sizeof(ConvolutionRun),
            [&](int64_t first, int64_t last, void* scratch) {
              for (int64_t unit = first; unit < last; ++unit) {
                if (parts_first) {
                  compute(unit % groups, unit / groups, scratch);
                } else {
                  compute(unit / parts, unit % parts, scratch);
                }
              }
            });
}

}  // namespace mgnet
