#pragma once

#include <cstddef>
#include <vector>

#include "convolutions/convolution.h"

namespace mgnet {

// Convolutions by Winograd's algorithm, see cpu/convolution/winograd.h: some tiles at a time are
// transformed, multiplied by the weights of each block of outputs, and transformed back.
class WinogradPlan : public ConvolutionPlan {
 public:
  explicit WinogradPlan(const ConvolutionShape& shape);

 private:
  void run_checked(const ConvolutionCall& call, int threads) const override;

  int64_t positions_;                   // of a tile
  int64_t together_;                    // tiles
  std::vector<WinogradTile> tiles_;     // of an image
  std::vector<int32_t> input_, pixel_;  // [positions, together]
};

}  // namespace mgnet
