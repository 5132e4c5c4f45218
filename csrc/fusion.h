// An inference step after the backbone, in float32: token cache, fusion, layer norm, ReLU, class
// logits, next region. Formulas and contract: mgnet_fast/ops/fusion/fusion_step.py.
#pragma once

#include <cstdint>

namespace mgnet {

struct FusionStep {
  const float* feature;  // [slots, width - 3]
  const float* region;   // [slots, 3]
  const int64_t* length;
  int64_t slots, places, width, classes;
  float* tokens;  // [slots, places, width]; place length - 1 is written
  int64_t stride_slot, stride_place;
  const float *key_query, *key_bias, *out_value, *out_bias;
  const float *norm_weight, *norm_bias;
  const float *class_weight, *class_bias;
  const float *locate_weight, *locate_bias;
  double epsilon, scale_min, scale_max;
  float* logits;     // [slots, classes], written
  float* following;  // [slots, 3], written
};

// A slot's results do not depend on the other slots or on the number of threads, bit for bit. One
// whose length is not in 1..places gets NaN, and its tokens stay as they are.
void fusion_step(const FusionStep& step, int threads);

}  // namespace mgnet
