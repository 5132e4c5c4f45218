// One axis of a convolution, and numbers that its plans share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "convolutions/convolution.h"

namespace mgnet {

constexpr double kMicrosecondsPerProduct = 2e-5;
constexpr double kMostElements = INT32_MAX;

inline int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline int64_t bytes_of(int weight_type) {
  return weight_type == kFloat32Weights ? 4 : weight_type == kFloat16Weights ? 2 : 1;
}

// A kernel along one axis of a map.
struct Axis {
  int64_t kernel, stride, padding, size;

  int64_t outputs() const { return (size + 2 * padding - kernel) / stride + 1; }
  int64_t input(int64_t output, int64_t position) const {
    return output * stride - padding + position;
  }
  // The outputs that see a pixel at this kernel position: first to second - 1.
  std::pair<int64_t, int64_t> seeing(int64_t position) const {
    int64_t first = 0, last = outputs();
    while (first < last && input(first, position) < 0) ++first;
    while (first < last && input(last - 1, position) >= size) --last;
    return {first, last};
  }
  // The kernel positions that see a pixel.
  std::pair<int64_t, int64_t> positions(int64_t output) const {
    const int64_t left = input(output, 0);
    return {std::max<int64_t>(0, -left), std::min(kernel, size - left)};
  }
};

inline Axis rows_of(const ConvolutionShape& s) {
  return {s.kernel_h, s.stride_h, s.padding_h, s.height};
}
inline Axis columns_of(const ConvolutionShape& s) {
  return {s.kernel_w, s.stride_w, s.padding_w, s.width};
}

}  // namespace mgnet
