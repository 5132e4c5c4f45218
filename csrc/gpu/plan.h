// Divides a call into blocks of threads. Host code of the launches and their tests.
#pragma once

#include "gpu/calls.h"

namespace mgnet {
namespace {

int64_t pieces(int64_t size, int64_t piece) { return (size + piece - 1) / piece; }

GpuForward plan_forward(const Job& job, const GpuLogits& logits) {
  GpuForward call{};
  call.job = job;
  call.logits = logits;
  call.tiles_high = pieces(job.glimpses.height, kTileRows);
  call.tiles_wide = pieces(job.glimpses.width, kTileColumns);
  call.plane_groups = pieces(job.images.channels, kPlanesOfBlock);
  call.units = job.regions.count * call.tiles_high * call.tiles_wide * call.plane_groups;
  call.channels_side_by_side = job.glimpses.stride_c == 1 && job.glimpses.stride_w != 1;
  return call;
}

// A block takes one plane. The regions are given: the bilinear pass has written those of logits.
GpuForward plan_filtered_forward(const Job& job) {
  GpuForward call = plan_forward(job, GpuLogits{});
  call.plane_groups = job.images.channels;
  call.units = job.regions.count * call.tiles_high * call.tiles_wide * call.plane_groups;
  return call;
}

GpuRegionSums plan_region_sums(const Job& job, double* sums) {
  GpuRegionSums call{};
  call.job = job;
  call.tiles_high = pieces(job.glimpses.height, kTileRows);
  call.tiles_wide = pieces(job.glimpses.width, kTileColumns);
  call.units = job.regions.count * call.tiles_high * call.tiles_wide;
  call.sums = sums;
  return call;
}

GpuImageGradient plan_image_gradient(const Job& job, const ImageGradient& to) {
  GpuImageGradient call{};
  call.job = job;
  call.to = to;
  call.tiles_high = pieces(job.images.height, kTileRows);
  call.tiles_wide = pieces(job.images.width, kTileColumns);
  call.units = job.images.count * job.images.channels * call.tiles_high * call.tiles_wide;
  return call;
}

}  // namespace
}  // namespace mgnet
