// A whole backbone in one call: convolutions and max-pools one after the other, then the average of
// the last map. Between the small layers of a glimpse, a framework's own calls cost more than they
// compute.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "convolutions/convolution.h"

namespace mgnet {

// Works on buffers, numbered from 1; buffer 0 is the input of the backbone.
struct BackboneStep {
  std::unique_ptr<ConvolutionPlan> convolution;  // or null: a max-pool
  const void* weight;
  const float *scale, *bias;
  PoolShape pool;
  int64_t input, other, output;  // other: -1 for none
};

class BackbonePlan {
 public:
  // buffers: floats of an image in each buffer, from number 1 on. The last step's output is a map
  // of `pixels` pixels, `features` numbers each.
  BackbonePlan(std::vector<BackboneStep> steps, std::vector<int64_t> buffers, int64_t input_floats,
               int64_t pixels, int64_t features);

  // input: [images, height, width, channels], output: [images, features]. An image with NaN or
  // infinity gets NaN.
  void run(const float* input, int64_t images, float* output, int threads) const;

 private:
  std::vector<BackboneStep> steps_;
  std::vector<int64_t> buffers_;
  int64_t input_floats_, pixels_, features_;
};

}  // namespace mgnet
