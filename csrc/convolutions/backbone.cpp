#include "convolutions/backbone.h"

#include <algorithm>
#include <stdexcept>

#include "cpu/kernels.h"
#include "parallel.h"

namespace mgnet {
namespace {

constexpr int64_t kLargestSize = 1 << 20;
constexpr double kMicrosecondsPerMaximum = 1e-4;
constexpr double kMicrosecondsPerMean = 5e-4;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

int64_t pooled(const PoolShape& shape, int64_t size) {
  return (size + 2 * shape.padding - shape.kernel) / shape.stride + 1;
}

int64_t input_floats(const PoolShape& shape) { return shape.height * shape.width * shape.channels; }

int64_t output_floats(const PoolShape& shape) {
  return pooled(shape, shape.height) * pooled(shape, shape.width) * shape.channels;
}

void check(const PoolShape& s) {
  for (const int64_t size : {s.channels, s.height, s.width, s.kernel, s.stride}) {
    require(size >= 1 && size <= kLargestSize, "sizes of a pool must be from 1 to 2^20");
  }
  require(s.padding >= 0 && s.padding <= s.kernel / 2,
          "padding of a pool must be from 0 to half of the kernel");
  require(std::min(s.height, s.width) + 2 * s.padding >= s.kernel,
          "the padded map must be at least as large as the kernel of the pool");
  require(double(s.height) * double(s.width) * double(s.channels) <= double(INT32_MAX),
          "a map must have less than 2^31 elements");
}

void max_pool(const PoolShape& s, const float* input, int64_t images, float* output, int threads) {
  const int64_t rows = pooled(s, s.height), row_floats = output_floats(s) / rows;
  const Kernels& kernels = convolution_kernels();
  const double maxima = double(images) * double(output_floats(s) * s.kernel * s.kernel);
  const int64_t units = images * rows;
  for_units(units, useful_threads(maxima * kMicrosecondsPerMaximum, units, threads), 0,
            [&](int64_t first, int64_t last, void*) {
              for (int64_t unit = first; unit < last; ++unit) {
                kernels.max_pool_row(s, input + unit / rows * input_floats(s), unit % rows,
                                     output + unit * row_floats);
              }
            });
}

// 0, or NaN if one of the values is NaN or infinite.
float nan_if_odd(const float* values, int64_t count) {
  float sums[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int k = 0; k < 16; ++k) sums[k] += values[i + k] * 0.0f;
  }
  for (; i < count; ++i) sums[0] += values[i] * 0.0f;
  for (int k = 1; k < 16; ++k) sums[0] += sums[k];
  return sums[0];
}

void average(const float* map, int64_t pixels, int64_t features, float odd, float* output) {
  for (int64_t f = 0; f < features; ++f) {
    double sum = 0.0;
    for (int64_t p = 0; p < pixels; ++p) sum += map[p * features + f];
    output[f] = static_cast<float>(sum / double(pixels)) + odd;
  }
}

}  // namespace

BackbonePlan::BackbonePlan(std::vector<BackboneStep> steps, std::vector<int64_t> buffers,
                           int64_t input_floats, int64_t pixels, int64_t features)
    : steps_(std::move(steps)),
      buffers_(std::move(buffers)),
      input_floats_(input_floats),
      pixels_(pixels),
      features_(features) {
  require(!steps_.empty(), "a backbone must have at least one step");
  for (const int64_t size : {input_floats, pixels, features}) {
    require(size >= 1 && size <= INT32_MAX, "sizes must be from 1 to 2^31 - 1");
  }
  for (const int64_t size : buffers_) {
    require(size >= 1 && size <= INT32_MAX, "buffers must have from 1 to 2^31 - 1 floats");
  }
  const auto floats = [&](int64_t buffer) {
    require(buffer >= 0 && buffer <= static_cast<int64_t>(buffers_.size()),
            "a step must use the buffers that there are");
    return buffer == 0 ? input_floats_ : buffers_[static_cast<size_t>(buffer - 1)];
  };
  for (const BackboneStep& step : steps_) {
    if (!step.convolution) check(step.pool);
    const int64_t in =
        step.convolution ? step.convolution->input_floats() : mgnet::input_floats(step.pool);
    const int64_t out =
        step.convolution ? step.convolution->output_floats() : output_floats(step.pool);
    require(in <= floats(step.input) && out <= floats(step.output),
            "the buffers of a step must hold its maps");
    require(step.other < 0 || out <= floats(step.other),
            "the buffer of a shortcut must hold its map");
    require(step.output > 0 && step.output != step.input && step.output != step.other,
            "a step must not overwrite what it reads");
    require(!step.convolution || (step.weight && step.scale && step.bias),
            "the addresses of a convolution must not be 0");
  }
  require(double(pixels) * double(features) <= double(floats(steps_.back().output)),
          "the last buffer must hold the averaged map");
}

void BackbonePlan::run(const float* input, int64_t images, float* output, int threads) const {
  require(images >= 0 && images <= INT32_MAX, "there must be from 0 to 2^31 - 1 images");
  if (images == 0) return;
  require(input && output, "the addresses of a backbone must not be 0");
  std::vector<size_t> begins;
  size_t all = 0;
  for (const int64_t floats : buffers_) {
    begins.push_back(all);
    all += (static_cast<size_t>(images * floats) + 15) / 16 * 16;
  }
  const AlignedMemory memory(all * sizeof(float));
  auto* numbers = reinterpret_cast<float*>(memory.data);
  const auto at = [&](int64_t buffer) { return numbers + begins[static_cast<size_t>(buffer - 1)]; };
  for (const BackboneStep& step : steps_) {
    const float* from = step.input ? at(step.input) : input;
    if (step.convolution) {
      const float* other = step.other > 0 ? at(step.other) : step.other == 0 ? input : nullptr;
      step.convolution->run(
          {from, images, step.weight, step.scale, step.bias, other, at(step.output)}, threads);
    } else {
      max_pool(step.pool, from, images, at(step.output), threads);
    }
  }
  const float* last = at(steps_.back().output);
  const double numbers_read = double(images) * double(pixels_ * features_ + input_floats_);
  for_units(images, useful_threads(numbers_read * kMicrosecondsPerMean, images, threads), 0,
            [&](int64_t first, int64_t end, void*) {
              for (int64_t n = first; n < end; ++n) {
                const float odd = nan_if_odd(input + n * input_floats_, input_floats_);
                average(last + n * pixels_ * features_, pixels_, features_, odd,
                        output + n * features_);
              }
            });
}

}  // namespace mgnet
