// Convolutions of random shapes, most of them odd, against the sum as it is written down, in
// buffers without a spare byte, on every instruction set. Usage: test_convolution [--runs N]
// [--seed S]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "convolutions/convolution.h"
#include "dispatch.h"
#include "element.h"
#include "tests/options.h"

using namespace mgnet;

namespace {

template <class T>
std::unique_ptr<T[]> memory(int64_t count) {
  return std::unique_ptr<T[]>(new T[static_cast<size_t>(count)]);
}

struct Problem {
  explicit Problem(uint64_t seed) : random(seed) {
    // Few products in all: long sums have small maps, large maps have short sums.
    const int64_t form = pick(0, 9);
    const bool is_deep = form == 0, is_wide = form == 1;
    shape.kernel_h = pick(1, is_deep ? 3 : 5), shape.kernel_w = pick(1, is_deep ? 3 : 7);
    shape.padding_h = pick(0, shape.kernel_h - 1), shape.padding_w = pick(0, shape.kernel_w - 1);
    shape.stride_h = pick(1, 3), shape.stride_w = pick(1, 3);
    shape.height = std::max(shape.kernel_h - 2 * shape.padding_h, pick(1, is_deep ? 4 : 12));
    shape.width = std::max(shape.kernel_w - 2 * shape.padding_w, pick(1, is_deep   ? 4
                                                                         : is_wide ? 320
                                                                                   : 12));
    shape.channels = is_deep ? pick(250, 520) : pick(1, is_wide ? 3 : 20);
    shape.outputs = pick(1, is_wide ? 17 : 40);
    shape.weight_type = static_cast<int>(pick(0, 2));
    shape.relu = chance(0.5);
    const bool has_tiles = form > 6;
    shape.winograd = has_tiles ? static_cast<int>(2 * pick(1, 2)) : 0;
    if (has_tiles) {
      shape.kernel_h = shape.kernel_w = 3, shape.stride_h = shape.stride_w = 1;
      shape.padding_h = pick(0, 2), shape.padding_w = pick(0, 2);
      shape.height = pick(3, 20), shape.width = pick(3, 20);
    }
    images = pick(0, is_deep || is_wide ? 2 : 9);
    out_h = (shape.height + 2 * shape.padding_h - shape.kernel_h) / shape.stride_h + 1;
    out_w = (shape.width + 2 * shape.padding_w - shape.kernel_w) / shape.stride_w + 1;
    blocks = (shape.outputs + kConvolutionLanes - 1) / kConvolutionLanes;
    depth = shape.kernel_h * shape.kernel_w * shape.channels;
    input = floats(images * shape.height * shape.width * shape.channels);
    scale = floats(blocks * kConvolutionLanes);
    bias = floats(blocks * kConvolutionLanes);
    other = floats(images * out_h * out_w * shape.outputs);
    output = floats(images * out_h * out_w * shape.outputs);
    const int64_t weights = blocks * depth * kConvolutionLanes;
    weight = floats(weights);
    half = memory<uint16_t>(weights);
    bytes = memory<int8_t>(weights);
    for (int64_t i = 0; i < weights; ++i) {
      bytes[i] = static_cast<int8_t>(pick(-127, 127));
      half[i] = portable::float_to_half(weight[i]);
      if (shape.weight_type == kFloat16Weights) weight[i] = portable::half_to_float(half[i]);
      if (shape.weight_type == kInt8Weights) weight[i] = bytes[i];
    }
    if (has_tiles) transform();
    if (images > 0 && chance(0.2)) {
      const float odd = chance(0.5) ? std::numeric_limits<float>::quiet_NaN() : INFINITY;
      const int64_t floats = shape.height * shape.width * shape.channels;
      const int64_t at = pick(0, images * floats - 1);
      input[at] = odd;
      odd_image = at / floats;
    }
    has_other = chance(0.5);
  }

  // The weights for tiles, rounded to their type once more.
  void transform() {
    const int m = shape.winograd, side = m + 2;
    const double p = m == 2 ? 1.0 : 0.75, q = 1.5;
    const double points[] = {0.0, p, -p, q, -q};
    std::vector<double> g;  // [side, 3]
    for (int i = 0; i + 1 < side; ++i) {
      double apart = 1.0;
      for (int j = 0; j + 1 < side; ++j) apart *= i == j ? 1.0 : points[i] - points[j];
      for (int k = 0; k < 3; ++k) g.push_back(std::pow(points[i], k) / apart);
    }
    for (int k = 0; k < 3; ++k) g.push_back(k == 2);
    const int64_t positions = side * side, lanes = kConvolutionLanes;
    tiled = memory<float>(blocks * positions * shape.channels * lanes);
    for (int64_t at = 0; at < blocks * shape.channels * lanes; ++at) {
      const int64_t block = at / (shape.channels * lanes), rest = at % (shape.channels * lanes);
      for (int64_t position = 0; position < positions; ++position) {
        double sum = 0.0;
        for (int64_t k = 0; k < 9; ++k) {
          sum += g[position / side * 3 + k / 3] * g[position % side * 3 + k % 3] *
                 double(weight[(block * 9 + k) * shape.channels * lanes + rest]);
        }
        tiled[(block * positions + position) * shape.channels * lanes + rest] =
            static_cast<float>(sum);
      }
    }
    const int64_t count = blocks * positions * shape.channels * lanes;
    half = memory<uint16_t>(count);
    bytes = memory<int8_t>(count);
    for (int64_t i = 0; i < count; ++i) {
      half[i] = portable::float_to_half(tiled[i]);
      bytes[i] = static_cast<int8_t>(std::clamp(std::round(tiled[i]), -127.0f, 127.0f));
    }
  }

  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  }
  bool chance(double p) { return std::bernoulli_distribution(p)(random); }
  std::unique_ptr<float[]> floats(int64_t count) {
    auto made = memory<float>(count);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < count; ++i) made[i] = normal(random);
    return made;
  }

  ConvolutionCall call() const {
    const void* stored = shape.winograd ? tiled.get() : weight.get();
    if (shape.weight_type == kFloat16Weights) stored = half.get();
    if (shape.weight_type == kInt8Weights) stored = bytes.get();
    return {input.get(), images, stored, scale.get(), bias.get(), has_other ? other.get() : nullptr,
            output.get()};
  }

  std::mt19937_64 random;
  ConvolutionShape shape;
  int64_t images, out_h, out_w, blocks, depth;
  bool has_other;
  int64_t odd_image = -1;
  std::unique_ptr<float[]> input, scale, bias, other, output, weight, tiled;
  std::unique_ptr<uint16_t[]> half;
  std::unique_ptr<int8_t[]> bytes;
};

// The wanted value and the sum of the sizes of its terms.
struct Wanted {
  double value, size;
};

Wanted wanted(const Problem& p, int64_t n, int64_t y, int64_t x, int64_t o) {
  const ConvolutionShape& s = p.shape;
  Wanted sum = {0, 0};
  for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
    for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
      const int64_t row = y * s.stride_h - s.padding_h + ky;
      const int64_t column = x * s.stride_w - s.padding_w + kx;
      if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
      for (int64_t c = 0; c < s.channels; ++c) {
        const int64_t at = (ky * s.kernel_w + kx) * s.channels + c;
        const double product =
            double(p.input[((n * s.height + row) * s.width + column) * s.channels + c]) *
            double(p.weight[(o / kConvolutionLanes * p.depth + at) * kConvolutionLanes +
                            o % kConvolutionLanes]);
        sum.value += product;
        sum.size += std::fabs(product);
      }
    }
  }
  sum.value = sum.value * p.scale[o] + p.bias[o];
  sum.size = sum.size * std::fabs(p.scale[o]) + std::fabs(p.bias[o]);
  if (p.has_other) {
    const float other = p.other[((n * p.out_h + y) * p.out_w + x) * s.outputs + o];
    sum.value += other;
    sum.size += std::fabs(other);
  }
  if (s.relu && sum.value < 0) sum.value = 0;
  return sum;
}

bool is_right(const Problem& p) {
  const int tiles = p.shape.winograd, type = p.shape.weight_type;
  double allowed = 1e-6 * std::sqrt(double(p.depth));
  if (tiles) allowed *= tiles == 2 ? 2 : 10;  // of the size of all terms
  if (tiles && type == kFloat16Weights) allowed = tiles == 2 ? 2e-3 : 2e-2;
  if (tiles && type == kInt8Weights) return true;  // only that it runs: the weights are too coarse
  for (int64_t i = 0; i < p.images * p.out_h * p.out_w * p.shape.outputs; ++i) {
    const int64_t o = i % p.shape.outputs, pixel = i / p.shape.outputs;
    const Wanted w =
        wanted(p, pixel / (p.out_h * p.out_w), pixel / p.out_w % p.out_h, pixel % p.out_w, o);
    const float got = p.output[i];
    if (tiles && !std::isfinite(w.value)) {
      if (std::isfinite(got)) return false;
      continue;
    }
    // What is not finite may spread in its tile, but not to other images.
    if (tiles && std::isnan(got) && pixel / (p.out_h * p.out_w) == p.odd_image) continue;
    if (std::isnan(w.value) != std::isnan(got)) return false;
    if (std::isnan(w.value) || double(got) == w.value) continue;
    if (!(std::fabs(got - w.value) <= allowed * w.size)) return false;
  }
  return true;
}

// Nothing that does not fit may be computed.
bool refuses() {
  const ConvolutionShape good = {4, 4, 3, 3, 1, 1, 1, 1, 5, 5, 0, true, 0};
  int refused = 0, asked = 0;
  const auto bad = [&](auto change) {
    ConvolutionShape shape = good;
    change(shape);
    ++asked;
    try {
      plan_convolution(shape);
    } catch (const std::invalid_argument&) {
      ++refused;
    }
  };
  bad([](auto& s) { s.channels = 0; });
  bad([](auto& s) { s.outputs = INT64_MAX; });
  bad([](auto& s) { s.stride_w = -1; });
  bad([](auto& s) { s.padding_h = 3; });
  bad([](auto& s) { s.padding_w = -1; });
  bad([](auto& s) { s.weight_type = 3; });
  bad([](auto& s) { s.padding_w = 0, s.width = 2; });
  bad([](auto& s) { s.winograd = 3; });
  bad([](auto& s) { s.winograd = 4, s.stride_h = 2; });
  bad([](auto& s) { s.winograd = 2, s.kernel_w = 5; });
  bad([](auto& s) { s.height = s.width = s.channels = 1 << 20; });
  bad([](auto& s) { s.kernel_h = s.kernel_w = s.height = s.width = s.channels = 1 << 12; });
  ++asked;
  try {
    plan_convolution(good)->run({nullptr, 1, nullptr, nullptr, nullptr, nullptr, nullptr}, 1);
  } catch (const std::invalid_argument&) {
    ++refused;
  }
  return refused == asked;
}

}  // namespace

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv, {500, 1});
  int failures = refuses() ? 0 : 1;
  if (failures) std::printf("a shape that does not fit is accepted\n");
  for (const std::string& isa : available_isas()) {
    select_isa(isa);
    for (int64_t run = 0; run < runs; ++run) {
      const uint64_t own = seed + static_cast<uint64_t>(run);
      const Problem problem(own);
      plan_convolution(problem.shape)->run(problem.call(), run % 50 ? 1 : 3);
      if (is_right(problem)) continue;
      ++failures;
      std::printf("%s: wrong at seed %llu\n", isa.c_str(), static_cast<unsigned long long>(own));
    }
    std::printf("%s: %lld convolutions, %d failures so far\n", isa.c_str(),
                static_cast<long long>(runs), failures);
  }
  return failures ? 1 : 0;
}
