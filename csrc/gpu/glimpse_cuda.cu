// The block functions of csrc/gpu as CUDA kernels, and their launches.
#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>

#include "gpu/elements.h"
#include "gpu/filter/forward.h"
#include "gpu/filter/image_gradient.h"
#include "gpu/filter/region_sums.h"
#include "gpu/forward.h"
#include "gpu/glimpse_cuda.h"
#include "gpu/image_gradient.h"
#include "gpu/logits.h"
#include "gpu/region_sums.h"

namespace mgnet {
namespace {

using namespace gpu;

template <class Element>
__global__ void __launch_bounds__(kBlockThreads) forward_kernel(const GpuForward call) {
  __shared__ ForwardShared<typename Element::Real> shared;
  for (int64_t unit = blockIdx.x; unit < call.units; unit += gridDim.x) {
    forward_block<Element>(Block{}, call, unit, shared);
  }
}

template <class Element>
__global__ void __launch_bounds__(kBlockThreads, 4) region_sums_kernel(const GpuRegionSums call) {
  __shared__ RegionSumsShared<typename Element::Real> shared;
  for (int64_t unit = blockIdx.x; unit < call.units; unit += gridDim.x) {
    region_sums_block<Element>(Block{}, call, unit, shared);
  }
}

template <class Element>
__global__ void __launch_bounds__(kBlockThreads, 2) filtered_forward_kernel(const GpuForward call) {
  __shared__ FilteredForwardShared<typename Element::Real> shared;
  for (int64_t unit = blockIdx.x; unit < call.units; unit += gridDim.x) {
    filtered_forward_block<Element>(Block{}, call, unit, shared);
  }
}

template <class Element>
__global__ void __launch_bounds__(kBlockThreads, 2) filtered_sums_kernel(const GpuRegionSums call) {
  __shared__ FilteredSumsShared<typename Element::Real> shared;
  for (int64_t unit = blockIdx.x; unit < call.units; unit += gridDim.x) {
    filtered_sums_block<Element>(Block{}, call, unit, shared);
  }
}

template <class Weights>
__global__ void __launch_bounds__(kBlockThreads, 3)
    image_gradient_kernel(const GpuImageGradient call) {
  __shared__ ImageGradientShared<Weights> shared;
  for (int64_t unit = blockIdx.x; unit < call.units; unit += gridDim.x) {
    image_gradient_block(Block{}, call, unit, shared);
  }
}

__global__ void __launch_bounds__(kBlockThreads)
    region_gradient_kernel(const GpuRegionGradient call) {
  const int64_t step = (int64_t)gridDim.x * kBlockThreads;
  for (int64_t n = (int64_t)blockIdx.x * kBlockThreads + threadIdx.x; n < call.count; n += step) {
    region_gradient_of(call, n);
  }
}

void require_success(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(error));
}

// Makes a device the current one, and puts the one before back.
class OnDevice {
 public:
  explicit OnDevice(int device) : device_(device) {
    require_success(cudaGetDevice(&before_), "asking for the device");
    if (before_ != device_) require_success(cudaSetDevice(device_), "choosing the device");
  }
  ~OnDevice() {
    if (before_ != device_) cudaSetDevice(before_);
  }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int device_, before_ = 0;
};

template <class Kernel, class Call>
void launch(Kernel kernel, const Call& call, int64_t blocks, const CudaQueue& queue) {
  if (blocks == 0) return;
  const OnDevice guard(queue.device);
  const unsigned grid = (unsigned)std::min<int64_t>(blocks, INT32_MAX);
  kernel<<<grid, kBlockThreads, 0, (cudaStream_t)queue.stream>>>(call);
  require_success(cudaGetLastError(), "launching a kernel");
}

}  // namespace

std::string cuda_problem() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess) {
    cudaGetLastError();  // or the next call would report it
    return std::string("no CUDA device can be used: ") + cudaGetErrorString(error);
  }
  return devices ? "" : "no CUDA device was found";
}

void cuda_forward(const GpuForward& call, const CudaQueue& queue) {
  with_element(call.job.images.type, [&](auto element) {
    launch(forward_kernel<decltype(element)>, call, call.units, queue);
  });
}

void cuda_filtered_forward(const GpuForward& call, const CudaQueue& queue) {
  with_element(call.job.images.type, [&](auto element) {
    launch(filtered_forward_kernel<decltype(element)>, call, call.units, queue);
  });
}

void cuda_region_sums(const GpuRegionSums& call, const CudaQueue& queue) {
  with_element(call.job.images.type, [&](auto element) {
    launch(region_sums_kernel<decltype(element)>, call, call.units, queue);
  });
}

void cuda_filtered_sums(const GpuRegionSums& call, const CudaQueue& queue) {
  with_element(call.job.images.type, [&](auto element) {
    launch(filtered_sums_kernel<decltype(element)>, call, call.units, queue);
  });
}

void cuda_region_gradient(const GpuRegionGradient& call, const CudaQueue& queue) {
  launch(region_gradient_kernel, call, (call.count + kBlockThreads - 1) / kBlockThreads, queue);
}

void cuda_image_gradient(const GpuImageGradient& call, const CudaQueue& queue) {
  if (call.to.type == kFloat64) {
    launch(image_gradient_kernel<BilinearWeights<double>>, call, call.units, queue);
  } else {
    launch(image_gradient_kernel<BilinearWeights<float>>, call, call.units, queue);
  }
}

void cuda_filtered_image_gradient(const GpuImageGradient& call, const CudaQueue& queue) {
  if (call.to.type == kFloat64) {
    launch(image_gradient_kernel<FilterWeights<double>>, call, call.units, queue);
  } else {
    launch(image_gradient_kernel<FilterWeights<float>>, call, call.units, queue);
  }
}

}  // namespace mgnet
