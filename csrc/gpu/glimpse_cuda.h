// Launches of the CUDA kernels, for host code that is compiled without CUDA. All addresses are of
// the device; nothing waits for it. Errors are std::runtime_error with CUDA's own words.
#pragma once

#include <string>

#include "gpu/calls.h"

namespace mgnet {

struct CudaQueue {
  int device;
  void* stream;
};

// Why no kernel can run here, or nothing.
std::string cuda_problem();

void cuda_forward(const GpuForward& call, const CudaQueue& queue);
void cuda_filtered_forward(const GpuForward& call, const CudaQueue& queue);
void cuda_region_sums(const GpuRegionSums& call, const CudaQueue& queue);
void cuda_filtered_sums(const GpuRegionSums& call, const CudaQueue& queue);
void cuda_region_gradient(const GpuRegionGradient& call, const CudaQueue& queue);
void cuda_image_gradient(const GpuImageGradient& call, const CudaQueue& queue);
void cuda_filtered_image_gradient(const GpuImageGradient& call, const CudaQueue& queue);

}  // namespace mgnet
