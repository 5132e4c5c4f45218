// Convolutions with weights packed once, in float32: sum, bias, shortcut and ReLU in one pass. Maps
// are [images, height, width, channels], an image's channels side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "job.h"

namespace mgnet {

struct ConvolutionShape {
  int64_t channels, outputs;
  int64_t kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w;
  int64_t height, width;  // of the input
  int weight_type;
  bool relu;
};

struct ConvolutionCall {
  const float* input;
  int64_t images;
  const void* weight;         // [blocks, kernel_h, kernel_w, channels, kConvolutionLanes]
  const float *scale, *bias;  // [blocks, kConvolutionLanes]
  const float* other;         // as the output, or null
  float* output;
};

// Where the inputs of each output lie, worked out once for one size of map. Padding is left out: a
// sum has only the products with pixels of the map.
class ConvolutionPlan {
 public:
  explicit ConvolutionPlan(const ConvolutionShape& shape);

  // output = relu(scale * sum + bias + other). An image's bits do not depend on the other images or
  // on the number of threads.
  void run(const ConvolutionCall& call, int threads) const;

  // Of one image.
  int64_t input_floats() const { return shape_.height * shape_.width * shape_.channels; }
  int64_t output_floats() const { return out_h_ * out_w_ * shape_.outputs; }

 private:
  using Range = std::pair<int64_t, int64_t>;  // first, end

  // The products of consecutive inputs, first those of the pixels of the first image.
  struct Run {
    int64_t first_weight, depth;
    size_t begin;
    int64_t per_image;
  };
  // Rows of an image, or all of several small images.
  struct Strip {
    int64_t first_pixel, pixels;  // of one image
    std::vector<Run> runs;
    std::vector<int32_t> input, pixel;
  };

  void add_runs(Strip& strip, Range rows) const;
  void add_run(Strip& strip, int64_t ky, Range positions, Range rows, Range columns) const;

  ConvolutionShape shape_;
  int64_t out_h_, out_w_;
  int64_t together_;  // images computed together
  std::vector<Strip> strips_;
  size_t most_runs_ = 0;
  int64_t most_pixels_ = 0;
};

}  // namespace mgnet
