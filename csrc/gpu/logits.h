// From logits to a region, and the gradient back: sigmoid, gradient scale and range map, in double.
#pragma once

#include <cmath>

#include "gpu/axis.h"

namespace mgnet {
namespace MGNET_ISA {

struct Squashed {
  double p[3], scale, x, y;
};

MGNET_DEVICE Squashed squash(const GpuLogits& logits, int64_t n) {
  Squashed out;
  for (int k = 0; k < 3; ++k) {
    const int64_t at = n * logits.stride_n + k * logits.stride_k;
    out.p[k] = 1.0 / (1.0 + exp(-read_number(logits.data, logits.type, at)));
  }
  out.scale = out.p[0] * (logits.scale_max - logits.scale_min) + logits.scale_min;
  out.x = (2.0 * out.p[1] - 1.0) * (1.0 - out.scale);
  out.y = (2.0 * out.p[2] - 1.0) * (1.0 - out.scale);
  return out;
}

// The region rounded to its type, which is what is looked at and what is returned.
MGNET_DEVICE Region rounded_region(const Squashed& squashed, int type) {
  Region region;
  const bool wide = type == kFloat64;
  region.scale_x = region.scale_y = wide ? squashed.scale : (double)(float)squashed.scale;
  region.x = wide ? squashed.x : (double)(float)squashed.x;
  region.y = wide ? squashed.y : (double)(float)squashed.y;
  region.finite = region.scale_x - region.scale_x == 0.0 && region.x - region.x == 0.0 &&
                  region.y - region.y == 0.0;
  return region;
}

MGNET_DEVICE void write_region(const Regions& regions, int64_t n, const Region& region) {
  void* data = (void*)regions.data;
  const int64_t at = n * regions.stride_n, step = regions.stride_k;
  write_number(data, regions.type, at, region.scale_x);
  write_number(data, regions.type, at + step, region.x);
  write_number(data, regions.type, at + 2 * step, region.y);
}

// One thread a region: the sums of its tiles in their order, then the way back to what was given.
MGNET_DEVICE void region_gradient_of(const GpuRegionGradient& call, int64_t n) {
  double sums[kRegionSums] = {0.0, 0.0, 0.0, 0.0};
  if (call.sums) {
    const double* from = call.sums + n * call.tiles * kRegionSums;
    for (int64_t tile = 0; tile < call.tiles; ++tile) {
      for (int k = 0; k < kRegionSums; ++k) sums[k] += from[tile * kRegionSums + k];
    }
  }
  const int64_t at = n * call.columns;
  if (!call.logits.data) {
    if (call.columns == 4) {
      for (int k = 0; k < 4; ++k) write_number(call.gradient, call.type, at + k, sums[k]);
    } else {
      write_number(call.gradient, call.type, at, sums[0] + sums[1]);
      write_number(call.gradient, call.type, at + 1, sums[2]);
      write_number(call.gradient, call.type, at + 2, sums[3]);
    }
    return;
  }
  double d_scale = sums[0] + sums[1], d_x = sums[2], d_y = sums[3];
  if (call.incoming) {
    const int64_t from = n * call.incoming_stride_n, step = call.incoming_stride_k;
    d_scale += read_number(call.incoming, call.incoming_type, from);
    d_x += read_number(call.incoming, call.incoming_type, from + step);
    d_y += read_number(call.incoming, call.incoming_type, from + 2 * step);
  }
  const Squashed forward = squash(call.logits, n);
  // x and y shrink as the scale grows.
  d_scale -= d_x * (2.0 * forward.p[1] - 1.0) + d_y * (2.0 * forward.p[2] - 1.0);
  const double d_p[3] = {d_scale * (call.logits.scale_max - call.logits.scale_min),
                         2.0 * d_x * (1.0 - forward.scale), 2.0 * d_y * (1.0 - forward.scale)};
  for (int k = 0; k < 3; ++k) {
    const double p = forward.p[k];
    write_number(call.gradient, call.type, at + k, d_p[k] * call.gradient_scale * p * (1.0 - p));
  }
}

}  // namespace MGNET_ISA
}  // namespace mgnet
