#include "convolutions/direct.h"

#include <algorithm>

#include "convolutions/axis.h"
#include "cpu/kernels.h"
#include "parallel.h"

namespace mgnet {
namespace {

constexpr int64_t kPixelsTogether = 288;    // their sums stay in the first-level cache
constexpr int64_t kShortRow = 192;          // inputs
constexpr int64_t kNearBytes = 512 * 1024;  // stay in the second-level cache

}  // namespace

DirectPlan::DirectPlan(const ConvolutionShape& shape) : ConvolutionPlan(shape) {
  const ConvolutionShape& s = shape_;
  const int64_t rows = std::clamp<int64_t>(kPixelsTogether / out_w_, 1, out_h_);
  const double elements = double(input_floats());
  together_ = 1;
  if (rows == out_h_) {
    together_ = std::clamp<int64_t>(kPixelsTogether / (out_h_ * out_w_), 1,
                                    static_cast<int64_t>(kMostElements / elements));
  }
  has_short_rows_ = s.kernel_w * s.channels <= kShortRow;
  one_each_ = s.kernel_h * s.kernel_w == 1 ||
              (has_short_rows_ && s.kernel_h * s.kernel_w * s.channels <= kConvolutionChain);
  const int64_t count = ceil_divide(out_h_, rows);
  for (int64_t k = 0; k < count; ++k) {
    const int64_t first = out_h_ * k / count, last = out_h_ * (k + 1) / count;
    strips_.push_back({first * out_w_, (last - first) * out_w_, {}, {}, {}});
    add_runs(strips_.back(), {first, last});
    most_runs_ = std::max(most_runs_, strips_.back().runs.size());
    most_pixels_ = std::max(most_pixels_, strips_.back().pixels);
  }
}

void DirectPlan::add_runs(Strip& strip, Range rows) const {
  if (has_short_rows_) return add_short_rows(strip, rows);
  const Axis columns = columns_of(shape_);
  for (int64_t ky = 0; ky < shape_.kernel_h; ++ky) {
    const Range seeing = rows_of(shape_).seeing(ky);
    const Range seen = {std::max(rows.first, seeing.first), std::min(rows.second, seeing.second)};
    for (int64_t kx = 0; kx < shape_.kernel_w; ++kx) {
      add_run(strip, {ky, ky + 1}, {kx, kx + 1}, seen, columns.seeing(kx));
    }
  }
}

// Neighbouring outputs that see the same positions share a run of them, of several short rows.
void DirectPlan::add_short_rows(Strip& strip, Range rows) const {
  const Axis down = rows_of(shape_), across = columns_of(shape_);
  for (int64_t row = rows.first, last; row < rows.second; row = last) {
    const Range ys = down.positions(row);
    for (last = row + 1; last < rows.second && down.positions(last) == ys;) ++last;
    for (int64_t column = 0, end; column < out_w_; column = end) {
      const Range xs = across.positions(column);
      for (end = column + 1; end < out_w_ && across.positions(end) == xs;) ++end;
      const int64_t depth = (xs.second - xs.first) * shape_.channels;
      const int64_t together = std::max<int64_t>(1, kConvolutionChain / depth);
      for (int64_t ky = ys.first; ky < ys.second; ky += together) {
        add_run(strip, {ky, std::min(ky + together, ys.second)}, xs, {row, last}, {column, end});
      }
    }
  }
}

void DirectPlan::add_run(Strip& strip, Range down, Range across, Range rows, Range columns) const {
  const ConvolutionShape& s = shape_;
  if (rows.first >= rows.second || columns.first >= columns.second) return;
  strip.runs.push_back({(down.first * s.kernel_w + across.first) * s.channels,
                        (across.second - across.first) * s.channels, down.second - down.first,
                        strip.input.size(),
                        (rows.second - rows.first) * (columns.second - columns.first)});
  for (int64_t n = 0; n < together_; ++n) {
    for (int64_t y = rows.first; y < rows.second; ++y) {
      const int64_t row = n * s.height + rows_of(s).input(y, down.first);
      for (int64_t x = columns.first; x < columns.second; ++x) {
        const int64_t column = columns_of(s).input(x, across.first);
        strip.input.push_back(static_cast<int32_t>((row * s.width + column) * s.channels));
        strip.pixel.push_back(
            static_cast<int32_t>(n * strip.pixels + y * out_w_ + x - strip.first_pixel));
      }
    }
  }
}

void DirectPlan::run_checked(const ConvolutionCall& call, int threads) const {
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
      runs[r] = {run.first_weight,
                 run.depth,
                 run.rows,
                 s.kernel_w * s.channels,
                 s.width * s.channels,
                 strip.input.data() + run.begin,
                 strip.pixel.data() + run.begin,
                 run.per_image * images};
    }
    const int64_t block = group * kernels.convolution_blocks;
    const int64_t together = std::min(kernels.convolution_blocks, blocks - block);
    const int64_t first_output = block * kConvolutionLanes;
    const int64_t at =
        (first_image * out_h_ * out_w_ + strip.first_pixel) * s.outputs + first_output;
    kernels.convolve({runs, static_cast<int64_t>(strip.runs.size()), one_each_,
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
