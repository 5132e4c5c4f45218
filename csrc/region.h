// Which part of which image a glimpse looks at. Shared by host and device code.
#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "job.h"

namespace mgnet {
namespace MGNET_ISA {

struct Region {
  double scale_x, scale_y, x, y;
  bool finite;
};

MGNET_INLINE double region_number(const Regions& regions, int64_t n, int64_t k) {
  const int64_t at = n * regions.stride_n + k * regions.stride_k;
  return regions.type == kFloat64 ? ((const double*)regions.data)[at]
                                  : (double)((const float*)regions.data)[at];
}

MGNET_INLINE Region read_region(const Regions& regions, int64_t n) {
  const bool one_scale = regions.columns == 3;
  Region region;
  region.scale_x = region_number(regions, n, 0);
  region.scale_y = one_scale ? region.scale_x : region_number(regions, n, 1);
  region.x = region_number(regions, n, one_scale ? 1 : 2);
  region.y = region_number(regions, n, one_scale ? 2 : 3);
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
