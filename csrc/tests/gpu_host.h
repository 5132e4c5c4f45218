// The kernels of a GPU in plain C++: the blocks of a launch one after the other, the threads of a
// block in turn. Everything but the launch itself is what the GPU runs.
#pragma once

#include <functional>
#include <vector>

#include "gpu/elements.h"
#include "gpu/filter/forward.h"
#include "gpu/filter/image_gradient.h"
#include "gpu/filter/region_sums.h"
#include "gpu/forward.h"
#include "gpu/image_gradient.h"
#include "gpu/logits.h"
#include "gpu/plan.h"
#include "gpu/region_sums.h"

namespace mgnet_test {

using namespace mgnet;

template <class Element>
void run_forward_as(const GpuForward& call) {
  for (int64_t unit = 0; unit < call.units; ++unit) {
    gpu::ForwardShared<typename Element::Real> shared;
    gpu::forward_block<Element>(gpu::Block{}, call, unit, shared);
  }
}

template <class Element>
void run_filtered_forward_as(const GpuForward& call) {
  for (int64_t unit = 0; unit < call.units; ++unit) {
    gpu::FilteredForwardShared<typename Element::Real> shared;
    gpu::filtered_forward_block<Element>(gpu::Block{}, call, unit, shared);
  }
}

template <class Element>
void run_filtered_sums_as(const GpuRegionSums& call) {
  for (int64_t unit = 0; unit < call.units; ++unit) {
    gpu::FilteredSumsShared<typename Element::Real> shared;
    gpu::filtered_sums_block<Element>(gpu::Block{}, call, unit, shared);
  }
}

template <class Element>
void run_region_sums_as(const GpuRegionSums& call) {
  for (int64_t unit = 0; unit < call.units; ++unit) {
    gpu::RegionSumsShared<typename Element::Real> shared;
    gpu::region_sums_block<Element>(gpu::Block{}, call, unit, shared);
  }
}

inline void run_forward(const Job& job, const GpuLogits& logits) {
  const GpuForward call = plan_forward(job, logits);
  with_element(job.images.type, [&](auto element) { run_forward_as<decltype(element)>(call); });
  if (!job.sampling.antialias) return;
  const GpuForward wide = plan_filtered_forward(job);
  with_element(job.images.type,
               [&](auto element) { run_filtered_forward_as<decltype(element)>(wide); });
}

inline void run_region_sums(const GpuRegionSums& call) {
  with_element(call.job.images.type,
               [&](auto element) { run_region_sums_as<decltype(element)>(call); });
  if (!call.job.sampling.antialias) return;
  with_element(call.job.images.type,
               [&](auto element) { run_filtered_sums_as<decltype(element)>(call); });
}

inline void run_region_gradient(const Job& job,
                                const std::function<void(GpuRegionGradient&)>& finish) {
  GpuRegionSums sums = plan_region_sums(job, nullptr);
  std::vector<double> of_tiles(static_cast<size_t>(sums.units) * kRegionSums, NAN);
  sums.sums = of_tiles.data();
  run_region_sums(sums);
  GpuRegionGradient call{};
  call.sums = of_tiles.data();
  call.tiles = sums.tiles_high * sums.tiles_wide;
  call.count = job.regions.count;
  call.columns = job.regions.columns;
  call.type = job.regions.type;
  finish(call);
  for (int64_t n = 0; n < call.count; ++n) gpu::region_gradient_of(call, n);
}

template <class Weights>
void run_image_gradient_as(const GpuImageGradient& call) {
  for (int64_t unit = 0; unit < call.units; ++unit) {
    gpu::ImageGradientShared<Weights> shared;
    gpu::image_gradient_block(gpu::Block{}, call, unit, shared);
  }
}

template <class Real>
void run_image_gradient_in(const GpuImageGradient& call) {
  if (call.job.sampling.antialias) {
    run_image_gradient_as<gpu::FilterWeights<Real>>(call);
  } else {
    run_image_gradient_as<gpu::BilinearWeights<Real>>(call);
  }
}

inline void run_image_gradient(const Job& job, ImageGradient to) {
  std::vector<int64_t> first, order;
  if (job.regions.image_index) {
    for (int64_t b = 0; b < job.images.count; ++b) {
      first.push_back(static_cast<int64_t>(order.size()));
      for (int64_t n = 0; n < job.regions.count; ++n) {
        if (job.regions.image_index[n] == b) order.push_back(n);
      }
    }
    first.push_back(static_cast<int64_t>(order.size()));
    to.first_of_image = first.data();
    to.glimpse_order = order.data();
  }
  const GpuImageGradient call = plan_image_gradient(job, to);
  if (to.type == kFloat64) {
    run_image_gradient_in<double>(call);
  } else {
    run_image_gradient_in<float>(call);
  }
}

}  // namespace mgnet_test
