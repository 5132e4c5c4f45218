// Maps the three logits of the localization layer to a region.
#pragma once

#include <cmath>

namespace mgnet {

struct Squashed {
  double p[3], scale, x, y;
};

inline Squashed squashed(const double* logits, double scale_min, double scale_max) {
  Squashed out;
  for (int k = 0; k < 3; ++k) out.p[k] = 1.0 / (1.0 + std::exp(-logits[k]));
  out.scale = out.p[0] * (scale_max - scale_min) + scale_min;
  out.x = (2.0 * out.p[1] - 1.0) * (1.0 - out.scale);
  out.y = (2.0 * out.p[2] - 1.0) * (1.0 - out.scale);
  return out;
}

}  // namespace mgnet
