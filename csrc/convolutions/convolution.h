// Convolutions with weights packed once, in float32: sum, bias, shortcut and ReLU in one pass. Maps
// are [images, height, width, channels], an image's channels side by side.
#pragma once

#include <cstdint>
#include <memory>

#include "job.h"

namespace mgnet {

struct ConvolutionShape {
  int64_t channels, outputs;
  int64_t kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w;
  int64_t height, width;  // of the input
  int weight_type;
  bool relu;
  int winograd;  // 0: sums of products as they stand; 2 or 4: tiles of so many outputs squared
};

struct ConvolutionCall {
  const float* input;
  int64_t images;
  // [blocks, kernel_h, kernel_w, channels, kConvolutionLanes]; with tiles of m^2 outputs the
  // transformed weights, [blocks, m + 2, m + 2, channels, kConvolutionLanes]
  const void* weight;
  const float *scale, *bias;  // [blocks, kConvolutionLanes]
  const float* other;         // as the output, or null
  float* output;
};

// What can be worked out once for one size of map.
class ConvolutionPlan {
 public:
  // Throws std::invalid_argument if the shape does not fit.
  explicit ConvolutionPlan(const ConvolutionShape& shape);
  virtual ~ConvolutionPlan() = default;

  // output = relu(scale * sum + bias + other). An image's bits do not depend on the other images or
  // on the number of threads.
  void run(const ConvolutionCall& call, int threads) const;

  // Of one image.
  int64_t input_floats() const { return shape_.height * shape_.width * shape_.channels; }
  int64_t output_floats() const { return out_h_ * out_w_ * shape_.outputs; }

 protected:
  virtual void run_checked(const ConvolutionCall& call, int threads) const = 0;

  ConvolutionShape shape_;
  int64_t out_h_, out_w_;
};

std::unique_ptr<ConvolutionPlan> plan_convolution(const ConvolutionShape& shape);

}  // namespace mgnet
