// Chains of a convolution with a shortcut and a max-pool, and their average, against the sums and
// maxima as they are written down. Usage: test_backbone [--runs N] [--seed S]
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "convolutions/backbone.h"
#include "tests/options.h"

using namespace mgnet;

namespace {

using Numbers = std::unique_ptr<float[]>;

// pool, then a convolution of one pixel to as many channels, added to the pooled map, or no more
// than the pool.
struct Problem {
  explicit Problem(uint64_t seed) : random(seed) {
    pool.channels = pick(1, 40);
    pool.kernel = pick(1, 4);
    pool.padding = pick(0, pool.kernel / 2);
    pool.stride = pick(1, 3);
    pool.height = std::max(pool.kernel - 2 * pool.padding, pick(1, 9));
    pool.width = std::max(pool.kernel - 2 * pool.padding, pick(1, 9));
    images = pick(0, 5);
    out_h = (pool.height + 2 * pool.padding - pool.kernel) / pool.stride + 1;
    out_w = (pool.width + 2 * pool.padding - pool.kernel) / pool.stride + 1;
    input = floats(images * pool.height * pool.width * pool.channels);
    if (images > 0 && pick(0, 3) == 0) {
      input[pick(0, images * pool.height * pool.width * pool.channels - 1)] =
          pick(0, 1) ? INFINITY : std::nanf("");
    }
    blocks = (pool.channels + kConvolutionLanes - 1) / kConvolutionLanes;
    weight = floats(blocks * kConvolutionLanes * pool.channels);
    scale = floats(blocks * kConvolutionLanes);
    bias = floats(blocks * kConvolutionLanes);
    output = floats(images * pool.channels);
    convolves = pick(0, 1) == 1;
  }

  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  }
  Numbers floats(int64_t count) {
    Numbers made(new float[static_cast<size_t>(count)]);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < count; ++i) made[i] = normal(random);
    return made;
  }

  BackbonePlan plan() const {
    std::vector<BackboneStep> steps(1);
    steps[0].pool = pool;
    steps[0].input = 0, steps[0].other = -1, steps[0].output = 1;
    std::vector<int64_t> buffers(1, out_h * out_w * pool.channels);
    if (convolves) {
      buffers.push_back(buffers[0]);
      steps.push_back(
          {plan_convolution(ConvolutionShape{pool.channels, pool.channels, 1, 1, 1, 1, 0, 0, out_h,
                                             out_w, kFloat32Weights, true, 0}),
           weight.get(), scale.get(), bias.get(), PoolShape{}, 1, 1, 2});
    }
    return BackbonePlan(std::move(steps), buffers, pool.height * pool.width * pool.channels,
                        out_h * out_w, pool.channels);
  }

  std::mt19937_64 random;
  PoolShape pool;
  int64_t images, out_h, out_w, blocks;
  bool convolves;
  Numbers input, weight, scale, bias, output;
};

std::vector<double> wanted(const Problem& p, int64_t n) {
  const PoolShape& s = p.pool;
  const float* image = p.input.get() + n * s.height * s.width * s.channels;
  std::vector<double> mean(s.channels, 0.0), pooled(s.channels);
  for (int64_t y = 0; y < p.out_h; ++y) {
    for (int64_t x = 0; x < p.out_w; ++x) {
      std::fill(pooled.begin(), pooled.end(), -INFINITY);
      for (int64_t row = y * s.stride - s.padding; row < y * s.stride - s.padding + s.kernel;
           ++row) {
        for (int64_t at = x * s.stride - s.padding; at < x * s.stride - s.padding + s.kernel;
             ++at) {
          if (row < 0 || row >= s.height || at < 0 || at >= s.width) continue;
          for (int64_t c = 0; c < s.channels; ++c) {
            pooled[c] = std::fmax(pooled[c], image[(row * s.width + at) * s.channels + c]);
          }
        }
      }
      for (int64_t o = 0; o < s.channels; ++o) {
        double sum = 0.0;
        for (int64_t c = 0; p.convolves && c < s.channels; ++c) {
          sum += pooled[c] * p.weight[(o / kConvolutionLanes * s.channels + c) * kConvolutionLanes +
                                      o % kConvolutionLanes];
        }
        const double value = p.convolves ? sum * p.scale[o] + p.bias[o] + pooled[o] : pooled[o];
        mean[o] += p.convolves ? std::max(0.0, value) : value;
      }
    }
  }
  bool odd = false;
  for (int64_t i = 0; i < s.height * s.width * s.channels; ++i) odd |= !std::isfinite(image[i]);
  for (double& value : mean) value = odd ? std::nan("") : value / double(p.out_h * p.out_w);
  return mean;
}

bool is_right(const Problem& p) {
  for (int64_t n = 0; n < p.images; ++n) {
    const std::vector<double> mean = wanted(p, n);
    for (int64_t c = 0; c < p.pool.channels; ++c) {
      const float got = p.output[n * p.pool.channels + c];
      if (std::isnan(mean[c]) != std::isnan(got)) return false;
      if (!std::isnan(got) && std::fabs(got - mean[c]) > 1e-4 * (1 + std::fabs(mean[c]))) {
        return false;
      }
    }
  }
  return true;
}

// Each change of a good plan must be refused.
int accepted() {
  int count = 0;
  for (int change = 0; change < 9; ++change) {
    std::vector<BackboneStep> steps(1);
    BackboneStep& step = steps[0];
    step.pool = {4, 6, 6, 3, 2, 1};
    step.input = 0, step.other = -1, step.output = 1;
    std::vector<int64_t> buffers(1, 36);
    int64_t input = 144, pixels = 9;
    if (change == 0) steps.clear();
    if (change == 1) step.pool.padding = 2;
    if (change == 2) step.pool.stride = 0;
    if (change == 3) step.pool.height = 7;
    if (change == 4) buffers[0] = 35;
    if (change == 5) step.output = 2;
    if (change == 6) step.output = 0;
    if (change == 7) pixels = 10;
    if (change == 8) step.input = 1;
    try {
      BackbonePlan(std::move(steps), buffers, input, pixels, 4);
      ++count;
    } catch (const std::invalid_argument&) {
    }
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv, {500, 1});
  int failures = accepted();
  if (failures) std::printf("%d plans that do not fit are accepted\n", failures);
  for (int64_t run = 0; run < runs; ++run) {
    const uint64_t own = seed + static_cast<uint64_t>(run);
    const Problem problem(own);
    problem.plan().run(problem.input.get(), problem.images, problem.output.get(), run % 50 ? 1 : 3);
    if (is_right(problem)) continue;
    ++failures;
    std::printf("wrong at seed %llu\n", static_cast<unsigned long long>(own));
  }
  std::printf("%lld backbones, %d failures\n", static_cast<long long>(runs), failures);
  return failures ? 1 : 0;
}
