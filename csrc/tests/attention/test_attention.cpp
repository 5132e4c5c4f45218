// The attention pool of every instruction set against its formulas in double, in buffers without
// an element to spare, so that the sanitizers see a read or a write too far.
// Usage: test_attention [--runs N] [--seed S]
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "attention/attention_pool.h"
#include "dispatch.h"
#include "tests/options.h"

using namespace mgnet;

namespace {

using Numbers = std::unique_ptr<float[]>;
using Row = std::vector<double>;

class Problem {
 public:
  explicit Problem(uint64_t seed) : random_(seed) {
    maps.count = pick(0, 4);
    maps.channels = pick(1, 300);
    maps.positions = pick(1, 300);
    maps.channels_last = pick(0, 1) == 1;
    const int64_t rows = maps.channels_last ? maps.positions : maps.channels;
    const int64_t length = maps.channels_last ? maps.channels : maps.positions;
    maps.stride_row = length + pick(0, 3);
    maps.stride_image = rows * maps.stride_row + pick(0, 3);
    maps.stride_query = pick(0, 1) * maps.channels;
    const int64_t last = maps.count - 1;
    const bool none = maps.count == 0;
    maps.data =
        make(none ? 0 : last * maps.stride_image + (rows - 1) * maps.stride_row + length, 1.0f);
    maps.query = make(none ? 0 : last * maps.stride_query + maps.channels,
                      1.0f / std::sqrt(float(maps.channels)));
    pooled = make(maps.count * maps.channels, 1.0f);
    weights = make(maps.count * maps.positions, 1.0f);
    from_pooled = make(maps.count * maps.channels, 1.0f / std::sqrt(float(maps.channels)));
    from_weights = pick(0, 1) ? make(maps.count * maps.positions, 1.0f) : nullptr;
    of_maps = pick(0, 3) ? make(maps.count * maps.channels * maps.positions, 1.0f) : nullptr;
    of_query = make(maps.count * maps.channels, 1.0f);
  }

  double at(int64_t map, int64_t channel, int64_t position) const {
    const int64_t row = maps.channels_last ? position : channel;
    const int64_t column = maps.channels_last ? channel : position;
    return maps.data[map * maps.stride_image + row * maps.stride_row + column];
  }

  // Where the gradient of this element lies.
  int64_t packed(int64_t map, int64_t channel, int64_t position) const {
    const int64_t inside = maps.channels_last ? position * maps.channels + channel
                                              : channel * maps.positions + position;
    return map * maps.channels * maps.positions + inside;
  }

  AttendedMaps maps;
  float *pooled, *weights, *from_pooled, *from_weights, *of_maps, *of_query;

 private:
  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  float* make(int64_t count, float scale) {
    std::normal_distribution<float> normal(0.0f, scale);
    memory_.push_back(Numbers(new float[static_cast<size_t>(count)]));
    for (int64_t i = 0; i < count; ++i) memory_.back()[i] = normal(random_);
    return memory_.back().get();
  }

  std::mt19937_64 random_;
  std::vector<Numbers> memory_;
};

bool is_near(float got, double wanted) { return std::fabs(got - wanted) <= 1e-4; }

bool is_right(const Problem& p, int64_t map) {
  const int64_t channels = p.maps.channels, positions = p.maps.positions;
  const float* query = p.maps.query + map * p.maps.stride_query;
  const float* incoming = p.from_pooled + map * channels;
  Row share(positions), slope(positions);
  double total = 0.0, mean = 0.0;
  for (int64_t i = 0; i < positions; ++i) {
    double score = 0.0;
    for (int64_t c = 0; c < channels; ++c) {
      score += query[c] * p.at(map, c, i);
      slope[i] += incoming[c] * p.at(map, c, i);
    }
    if (p.from_weights) slope[i] += p.from_weights[map * positions + i];
    total += share[i] = std::exp(score);
  }
  for (int64_t i = 0; i < positions; ++i) mean += (share[i] /= total) * slope[i];
  for (int64_t i = 0; i < positions; ++i) {
    if (!is_near(p.weights[map * positions + i], share[i])) return false;
    slope[i] = share[i] * (slope[i] - mean);
  }
  for (int64_t c = 0; c < channels; ++c) {
    double pooled = 0.0, of_query = 0.0;
    for (int64_t i = 0; i < positions; ++i) {
      pooled += share[i] * p.at(map, c, i);
      of_query += slope[i] * p.at(map, c, i);
      const double of_map = share[i] * incoming[c] + slope[i] * query[c];
      if (p.of_maps && !is_near(p.of_maps[p.packed(map, c, i)], of_map)) return false;
    }
    if (!is_near(p.pooled[map * channels + c], pooled)) return false;
    if (!is_near(p.of_query[map * channels + c], of_query)) return false;
  }
  return true;
}

bool passes(const Problem& p) {
  attention_pool(p.maps, {p.pooled, p.weights}, 1);
  attention_pool_backward(p.maps, {p.weights, p.from_pooled, p.from_weights, p.of_maps, p.of_query},
                          1);
  for (int64_t map = 0; map < p.maps.count; ++map) {
    if (!is_right(p, map)) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv, {200, 1});
  int failures = 0;
  for (const std::string& isa : available_isas()) {
    select_isa(isa);
    for (int64_t run = 0; run < runs; ++run) {
      const uint64_t own = seed + static_cast<uint64_t>(run);
      if (passes(Problem(own))) continue;
      ++failures;
      std::printf("%s: wrong at seed %llu\n", isa.c_str(), static_cast<unsigned long long>(own));
    }
    std::printf("%s: %lld pools, %d failures so far\n", isa.c_str(), static_cast<long long>(runs),
                failures);
  }
  return failures ? 1 : 0;
}
