// Antialiased glimpses, backward to the image: which samples reach a pixel, and with which weights.
// Where samples are a pixel apart or less the triangle is the bilinear one, so all glimpses of a
// call are gathered in this way.
#pragma once

#include "gpu/filter/tile.h"
#include "gpu/image_gradient.h"

namespace mgnet {
namespace MGNET_ISA {

// Where a sample falls, in pixels; the border moves it into the image.
MGNET_DEVICE double place_of(const Axis& axis, int64_t i) {
  const double base = base_position(i, axis.count, axis.align_corners);
  const double p = source_pixel(axis.scale * base, axis.shift, axis.size, axis.align_corners);
  if (!axis.border) return p;
  const double last = (double)(axis.size - 1);
  return p > 0.0 ? (p < last ? p : last) : 0.0;
}

template <class Real>
struct FilterWeights {
  using Sum = Real;
  int edge[kHalves + 1];
  Line<Real> line[kHalves];

  MGNET_DEVICE Touching touching(const Axis& axis, int first, int last) {
    const double step = pixels_per_sample(axis.scale, axis.size, axis.count, axis.align_corners);
    const double radius = step > 1.0 ? step : 1.0;
    // Samples outside the image count, too: their weights are 0.
    const int begin =
        samples_before(axis, [&](int i) { return (double)first - place_of(axis, i) > radius; });
    const int end = samples_before(
        axis, [&](int i) { return (double)(last - 1) - place_of(axis, i) > -radius; });
    return in_index_order(axis, begin, end);
  }
  MGNET_DEVICE FilterWeights of(const Axis& axis, int64_t i) {
    const FilterTap<Real> tap = filter_tap_of<Real>(axis, i);
    return {{tap.edge[0], tap.edge[1], tap.edge[2]}, {tap.weight[0], tap.weight[1]}};
  }
  MGNET_DEVICE Real at(const FilterWeights& weights, int pixel) {
    if (pixel < weights.edge[0] || pixel >= weights.edge[kHalves]) return (Real)0;
    const int half = pixel < weights.edge[1] ? kBefore : kBehind;
    const Line<Real> line = weights.line[half];
    return multiply_add(line.step, (Real)(pixel - weights.edge[half]), line.start);
  }
};

}  // namespace MGNET_ISA
}  // namespace mgnet
