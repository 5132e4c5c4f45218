// The arguments of the GPU kernels, passed by value. All addresses are on the device.
#pragma once

#include <cstdint>

#include "job.h"

namespace mgnet {

// Tiles of a glimpse, and of the gradient of an image, that one block of threads computes.
enum : int { kTileRows = 16, kTileColumns = 32, kTilePixels = kTileRows * kTileColumns };
// Planes that share the coordinates of a block in the forward pass.
enum : int { kPlanesOfBlock = 4 };

struct GpuLogits {  // [count, 3]; data null: the regions are given
  const void* data;
  int type;
  int64_t stride_n, stride_k;
  double scale_min, scale_max;
};

struct GpuForward {
  Job job;
  GpuLogits logits;  // with logits, job.regions.data is written
  int64_t tiles_high, tiles_wide, plane_groups;
  int64_t units;
  bool
      channels_side_by_side;  // in the glimpses: then neighbouring threads take neighbouring planes
};

struct GpuRegionSums {  // job.glimpses: the incoming gradient
  Job job;
  int64_t tiles_high, tiles_wide;
  int64_t units;
  double* sums;  // [units][kRegionSums], unit = region * tiles + tile
};

struct GpuRegionGradient {
  const double* sums;  // or null: only the incoming gradient of the region counts
  int64_t tiles;
  int64_t count;
  int columns;
  int type;        // of the gradient
  void* gradient;  // contiguous [count, columns]
  // Only with logits:
  GpuLogits logits;
  const void* incoming;  // gradient of the region that was returned, or null
  int incoming_type;
  int64_t incoming_stride_n, incoming_stride_k;
  double gradient_scale;
};

struct GpuImageGradient {  // job.glimpses: the incoming gradient
  Job job;
  ImageGradient to;  // first_of_image and glimpse_order null: glimpse n is of image n
  int64_t tiles_high, tiles_wide;
  int64_t units;
};

}  // namespace mgnet
