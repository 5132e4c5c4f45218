// The fusion step of every instruction set against the definition in double, in buffers without a
// byte to spare, so that the sanitizers see a read too far. Usage: test_fusion [--runs N] [--seed
// S]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dispatch.h"
#include "fusion.h"
#include "tests/options.h"

using namespace mgnet;

namespace {

using Numbers = std::unique_ptr<float[]>;

struct Problem {
  explicit Problem(uint64_t seed) : random(seed) {
    step.slots = pick(0, 9);
    step.places = pick(1, 6);
    step.width = pick(3, 70);
    step.classes = pick(1, 40);
    const int64_t s = step.slots, d = step.width, k = step.classes;
    step.stride_place = d + pick(0, 2);
    step.stride_slot = step.stride_place * step.places + pick(0, 2);
    step.feature = make(s * (d - 3));
    step.region = make(s * 3);
    step.tokens =
        make(s > 0 ? (s - 1) * step.stride_slot + (step.places - 1) * step.stride_place + d : 0);
    step.key_query = make(d * d);
    step.key_bias = make(d);
    step.out_value = make(d * d);
    step.out_bias = make(d);
    step.norm_weight = make(d);
    step.norm_bias = make(d);
    step.class_weight = make(k * d);
    step.class_bias = make(k);
    step.locate_weight = make(3 * d);
    step.locate_bias = make(3);
    step.epsilon = 1e-5;
    step.scale_min = 0.2;
    step.scale_max = 0.5;
    step.logits = make(s * k);
    step.following = make(s * 3);
    length.reset(new int64_t[s]);
    for (int64_t i = 0; i < s; ++i) length[i] = pick(-1, step.places + 2);
    step.length = length.get();
  }

  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  }

  float* make(int64_t count) {
    held.emplace_back(new float[count]);
    std::normal_distribution<float> normal(0.0f, 0.3f);
    for (int64_t i = 0; i < count; ++i) held.back()[i] = normal(random);
    return held.back().get();
  }

  std::mt19937_64 random;
  FusionStep step;
  std::unique_ptr<int64_t[]> length;
  std::vector<Numbers> held;
};

using Row = std::vector<double>;

Row layer(const Row& input, const float* weight, const float* bias, int64_t outs) {
  Row output(outs);
  for (int64_t k = 0; k < outs; ++k) {
    output[k] = bias[k];
    for (size_t d = 0; d < input.size(); ++d) output[k] += weight[k * input.size() + d] * input[d];
  }
  return output;
}

// Logits and next region of one slot, by the formulas as they are written down.
Row expected(const FusionStep& step, int64_t slot) {
  const int64_t width = step.width, count = step.length[slot];
  if (count < 1 || count > step.places) return Row(step.classes + 3, std::nan(""));
  const auto token = [&](int64_t t) {
    Row row(width);
    for (int64_t d = 0; d < width; ++d) {
      const bool is_feature = d < width - 3;
      row[d] = t < count - 1 ? step.tokens[slot * step.stride_slot + t * step.stride_place + d]
               : is_feature  ? step.feature[slot * (width - 3) + d]
                             : step.region[slot * 3 + d - (width - 3)];
    }
    return row;
  };
  const Row query = layer(token(count - 1), step.key_query, step.key_bias, width);
  Row shares(count), mean(width, 0.0);
  double total = 0.0;
  for (int64_t t = 0; t < count; ++t) {
    double score = 0.0;
    for (int64_t d = 0; d < width; ++d) score += token(t)[d] * query[d];
    total += shares[t] = std::exp(score / std::sqrt(double(width)));
  }
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t d = 0; d < width; ++d) mean[d] += shares[t] / total * token(t)[d];
  }
  Row state = layer(mean, step.out_value, step.out_bias, width);
  double center = 0.0, variance = 0.0;
  for (double v : state) center += v / double(width);
  for (double v : state) variance += (v - center) * (v - center) / double(width);
  for (int64_t d = 0; d < width; ++d) {
    state[d] = std::fmax(
        0.0, (state[d] - center) / std::sqrt(variance + step.epsilon) * step.norm_weight[d] +
                 step.norm_bias[d]);
  }
  Row result = layer(state, step.class_weight, step.class_bias, step.classes);
  Row p = layer(state, step.locate_weight, step.locate_bias, 3);
  for (double& v : p) v = 1.0 / (1.0 + std::exp(-v));
  const double scale = p[0] * (step.scale_max - step.scale_min) + step.scale_min;
  result.insert(result.end(),
                {scale, (2.0 * p[1] - 1.0) * (1.0 - scale), (2.0 * p[2] - 1.0) * (1.0 - scale)});
  return result;
}

bool is_near(float got, double wanted) {
  return std::isnan(wanted) ? std::isnan(got) : std::fabs(got - wanted) <= 1e-4;
}

bool passes(Problem& problem, int threads) {
  const FusionStep& step = problem.step;
  std::vector<Row> wanted;
  for (int64_t slot = 0; slot < step.slots; ++slot) wanted.push_back(expected(step, slot));
  fusion_step(step, threads);
  for (int64_t slot = 0; slot < step.slots; ++slot) {
    for (int64_t k = 0; k < step.classes; ++k) {
      if (!is_near(step.logits[slot * step.classes + k], wanted[slot][k])) return false;
    }
    for (int64_t k = 0; k < 3; ++k) {
      if (!is_near(step.following[slot * 3 + k], wanted[slot][step.classes + k])) return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv, {500, 1});
  int failures = 0;
  for (const std::string& isa : available_isas()) {
    select_isa(isa);
    for (int64_t run = 0; run < runs; ++run) {
      Problem problem(seed + static_cast<uint64_t>(run));
      if (passes(problem, 1)) continue;
      ++failures;
      std::printf("%s: wrong at seed %llu\n", isa.c_str(),
                  static_cast<unsigned long long>(seed + static_cast<uint64_t>(run)));
    }
    std::printf("%s: %lld steps, %d failures so far\n", isa.c_str(), static_cast<long long>(runs),
                failures);
  }
  return failures ? 1 : 0;
}
