#include "convolutions/convolution.h"

#include <stdexcept>

#include "convolutions/axis.h"
#include "convolutions/direct.h"
#include "convolutions/winograd.h"

namespace mgnet {
namespace {

constexpr int64_t kLargestSize = 1 << 20;

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

}  // namespace

ConvolutionPlan::ConvolutionPlan(const ConvolutionShape& shape) : shape_(shape) {
  const ConvolutionShape& s = shape_;
  for (const int64_t size :
       {s.channels, s.outputs, s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.height, s.width}) {
    require(size >= 1 && size <= kLargestSize, "sizes of a convolution must be from 1 to 2^20");
  }
  require(s.weight_type >= kFloat32Weights && s.weight_type <= kInt8Weights,
          "weight type code must be 0 (float32), 1 (float16) or 2 (int8)");
  for (const Axis& axis : {rows_of(s), columns_of(s)}) {
    require(axis.padding >= 0 && axis.padding < axis.kernel,
            "padding must be at least 0 and smaller than the kernel");
    require(axis.size + 2 * axis.padding >= axis.kernel,
            "the padded map must be at least as large as the kernel");
  }
  require(s.winograd == 0 || s.winograd == 2 || s.winograd == 4,
          "tiles must have 2 or 4 outputs on a side, or 0 for none");
  require(
      s.winograd == 0 || (s.kernel_h == 3 && s.kernel_w == 3 && s.stride_h == 1 && s.stride_w == 1),
      "tiles are for kernels of 3 x 3 and stride 1");
  const double elements = double(s.height) * double(s.width) * double(s.channels);
  const double weights = double(s.kernel_h) * double(s.kernel_w) * double(s.channels);
  require(elements <= kMostElements && weights <= kMostElements,
          "a map and the weights of one output must have less than 2^31 elements");
  out_h_ = rows_of(s).outputs();
  out_w_ = columns_of(s).outputs();
}

void ConvolutionPlan::run(const ConvolutionCall& call, int threads) const {
  require(call.images >= 0, "there must be 0 images or more");
  if (call.images == 0) return;
  require(call.input && call.weight && call.scale && call.bias && call.output,
          "the addresses of a convolution must not be 0");
  run_checked(call, threads);
}

std::unique_ptr<ConvolutionPlan> plan_convolution(const ConvolutionShape& shape) {
  if (shape.winograd == 0) return std::make_unique<DirectPlan>(shape);
  return std::make_unique<WinogradPlan>(shape);
}

}  // namespace mgnet
