#include "fusion.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "cpu/kernels.h"
#include "parallel.h"
#include "squash.h"

namespace mgnet {
namespace {

constexpr double kMicrosecondsPerProduct = 5e-5;
constexpr int64_t kOutsPerUnit = 24;

void run_dense(const DenseLayer& layer, int64_t outs, int threads) {
  const double microseconds =
      kMicrosecondsPerProduct * double(layer.rows) * double(layer.depth) * double(outs);
  const int64_t units = (outs + kOutsPerUnit - 1) / kOutsPerUnit;
  const auto dense = selected_kernels().dense;
  for_units(units, useful_threads(microseconds, units, threads), 0,
            [&](int64_t first, int64_t last, void*) {
              dense(layer, first * kOutsPerUnit, std::min(last * kOutsPerUnit, outs));
            });
}

class Step {
 public:
  Step(const FusionStep& step, int threads)
      : step_(step),
        threads_(threads),
        size_(static_cast<size_t>(step.slots * step.width)),
        memory_(3 * size_ * sizeof(float)),
        newest_(reinterpret_cast<float*>(memory_.data)),
        query_(newest_ + size_),
        fused_(query_ + size_),
        scores_(static_cast<size_t>(step.places)) {}

  void run() {
    append();
    if (any_has_memory()) layer(newest_, step_.key_query, step_.key_bias, query_, step_.width);
    for (int64_t slot = 0; slot < step_.slots; ++slot) attend(slot);
    layer(newest_, step_.out_value, step_.out_bias, fused_, step_.width);
    for (int64_t slot = 0; slot < step_.slots; ++slot) normalize(fused_ + slot * step_.width);
    layer(fused_, step_.class_weight, step_.class_bias, step_.logits, step_.classes);
    layer(fused_, step_.locate_weight, step_.locate_bias, step_.following, 3);
    for (int64_t slot = 0; slot < step_.slots; ++slot) finish(slot);
  }

 private:
  bool is_valid(int64_t slot) const {
    return step_.length[slot] >= 1 && step_.length[slot] <= step_.places;
  }

  // Whether a slot has other tokens than its newest one, which is its own mean.
  bool any_has_memory() const {
    return std::any_of(step_.length, step_.length + step_.slots,
                       [](int64_t length) { return length > 1; });
  }

  void layer(const float* input, const float* weight, const float* bias, float* output,
             int64_t outs) const {
    const int64_t width = step_.width;
    run_dense({input, step_.slots, width, width, weight, width, bias, output, outs}, outs,
              threads_);
  }

  void append() {
    const int64_t features = step_.width - 3;
    for (int64_t slot = 0; slot < step_.slots; ++slot) {
      float* newest = newest_ + slot * step_.width;
      std::copy_n(step_.feature + slot * features, features, newest);
      std::copy_n(step_.region + slot * 3, 3, newest + features);
      if (is_valid(slot)) {
        std::copy_n(newest, step_.width,
                    token(slot) + (step_.length[slot] - 1) * step_.stride_place);
      }
    }
  }

  float* token(int64_t slot) const { return step_.tokens + slot * step_.stride_slot; }

  // Puts the weighted mean of the slot's tokens in the place of its newest one.
  void attend(int64_t slot) {
    if (!is_valid(slot) || step_.length[slot] == 1) return;
    const int64_t width = step_.width, count = step_.length[slot];
    const float* tokens = token(slot);
    const float* query = query_ + slot * width;
    selected_kernels().dense(
        {query, 1, width, width, tokens, step_.stride_place, nullptr, scores_.data(), count}, 0,
        count);
    const double scale = 1.0 / std::sqrt(double(width));
    float largest = scores_[0];
    for (int64_t t = 1; t < count; ++t) largest = std::max(largest, scores_[t]);
    double total = 0.0;
    for (int64_t t = 0; t < count; ++t) {
      total += std::exp((double(scores_[t]) - double(largest)) * scale);
    }
    float* mean = newest_ + slot * width;
    std::fill_n(mean, width, 0.0f);
    for (int64_t t = 0; t < count; ++t) {
      const double share = std::exp((double(scores_[t]) - double(largest)) * scale) / total;
      const float weight = static_cast<float>(share);
      const float* from = tokens + t * step_.stride_place;
      for (int64_t d = 0; d < width; ++d) mean[d] += weight * from[d];
    }
  }

  // Layer norm and ReLU, in place. NaN stays NaN.
  void normalize(float* state) const {
    const int64_t width = step_.width;
    double sum = 0.0, squares = 0.0;
    for (int64_t d = 0; d < width; ++d) sum += state[d];
    const double mean = sum / double(width);
    for (int64_t d = 0; d < width; ++d) {
      const double distance = state[d] - mean;
      squares += distance * distance;
    }
    const double scale = 1.0 / std::sqrt(squares / double(width) + step_.epsilon);
    for (int64_t d = 0; d < width; ++d) {
      const float normal = static_cast<float>((state[d] - mean) * scale);
      const float value = normal * step_.norm_weight[d] + step_.norm_bias[d];
      state[d] = value < 0.0f ? 0.0f : value;
    }
  }

  void finish(int64_t slot) const {
    float* following = step_.following + slot * 3;
    if (!is_valid(slot)) {
      const float nan = std::numeric_limits<float>::quiet_NaN();
      std::fill_n(step_.logits + slot * step_.classes, step_.classes, nan);
      std::fill_n(following, 3, nan);
      return;
    }
    const double located[3] = {following[0], following[1], following[2]};
    const Squashed region = squashed(located, step_.scale_min, step_.scale_max);
    following[0] = static_cast<float>(region.scale);
    following[1] = static_cast<float>(region.x);
    following[2] = static_cast<float>(region.y);
  }

  const FusionStep& step_;
  int threads_;
  size_t size_;
  AlignedMemory memory_;
  float *newest_, *query_, *fused_;
  std::vector<float> scores_;
};

}  // namespace

void fusion_step(const FusionStep& step, int threads) {
  if (step.slots < 0 || step.places < 0 || step.classes < 0 || step.width < 3) {
    throw std::invalid_argument("sizes must not be negative, and width at least 3, got " +
                                std::to_string(step.width));
  }
  if (step.slots > 0) Step(step, threads).run();
}

}  // namespace mgnet
