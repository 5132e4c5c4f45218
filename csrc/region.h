// Which part of which image a glimpse looks at. Shared by host and device code.
#pragma once

#include <cstdint>

#include "isa.h"
#include "job.h"

namespace mgnet {
namespace MGNET_ISA {

struct Region {
  double scale_x, scale_y, x, y;
  bool finite;
};

MGNET_INLINE Region read_region(const Regions& regions, int64_t n) {
  double v[4] = {0.0, 0.0, 0.0, 0.0};
  const int64_t start = n * regions.stride_n;
  for (int k = 0; k < regions.columns; ++k) {
    const int64_t at = start + k * regions.stride_k;
    v[k] = regions.type == kFloat64 ? ((const double*)regions.data)[at]
                                    : (double)((const float*)regions.data)[at];
  }
  const bool one_scale = regions.columns == 3;
  Region region;
  region.scale_x = v[0];
  region.scale_y = one_scale ? v[0] : v[1];
  region.x = v[one_scale ? 1 : 2];
  region.y = v[one_scale ? 2 : 3];
  // x - x is 0 exactly for finite x.
  region.finite = region.scale_x - region.scale_x == 0.0 &&
                  region.scale_y - region.scale_y == 0.0 && region.x - region.x == 0.0 &&
                  region.y - region.y == 0.0;
  return region;
}

// The image a glimpse looks at.
struct Source {
  int64_t offset, height, width, stride_c, stride_h, stride_w;
};

MGNET_INLINE Source image_source(const Images& images, int64_t image) {
  return {image * images.stride_n, images.height,   images.width,
          images.stride_c,         images.stride_h, images.stride_w};
}

MGNET_INLINE int64_t image_of_glimpse(const Regions& regions, int64_t n) {
  return regions.image_index ? regions.image_index[n] : n;
}

}  // namespace MGNET_ISA
}  // namespace mgnet
