#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "convolutions/convolution.h"

namespace mgnet {

// Where the inputs of each output lie. Padding is left out: a sum has only the products with pixels
// of the map.
class DirectPlan : public ConvolutionPlan {
 public:
  explicit DirectPlan(const ConvolutionShape& shape);

 private:
  using Range = std::pair<int64_t, int64_t>;  // first, end

  // The products of consecutive inputs, first those of the pixels of the first image.
  struct Run {
    int64_t first_weight, depth, rows;
    size_t begin;
    int64_t per_image;
  };
  // Rows of an image, or all of several small images.
  struct Strip {
    int64_t first_pixel, pixels;  // of one image
    std::vector<Run> runs;
    std::vector<int32_t> input, pixel;
  };

  void run_checked(const ConvolutionCall& call, int threads) const override;
  void add_runs(Strip& strip, Range rows) const;
  void add_short_rows(Strip& strip, Range rows) const;
  // down, across: positions of the kernel; rows, columns: the outputs that see them.
  void add_run(Strip& strip, Range down, Range across, Range rows, Range columns) const;

  int64_t together_;  // images computed together
  bool has_short_rows_, one_each_;
  std::vector<Strip> strips_;
  size_t most_runs_ = 0;
  int64_t most_pixels_ = 0;
};

}  // namespace mgnet
