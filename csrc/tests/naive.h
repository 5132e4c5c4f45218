// The definition of a glimpse and its derivatives, one output at a time, in double.
#pragma once

#include "tests/problem.h"

namespace mgnet_test {

struct NaiveTap {
  int64_t index[2];
  double weight[2], slope[2];
  double base, pixels_per_position;
  bool kink;  // so near to a pixel that the side of the derivative is a matter of rounding
};

inline NaiveTap naive_tap(int64_t i, int64_t count, double scale, double shift, int64_t size,
                          const Sampling& sampling) {
  NaiveTap tap{};
  double pixel;
  if (sampling.align_corners) {
    tap.base = count == 1 ? 0.0 : 2.0 * i / (count - 1) - 1.0;
    tap.pixels_per_position = (size - 1) / 2.0;
    pixel = (scale * tap.base + shift + 1) / 2 * (size - 1);
  } else {
    tap.base = (2.0 * i + 1) / count - 1;
    tap.pixels_per_position = size / 2.0;
    pixel = ((scale * tap.base + shift + 1) * size - 1) / 2;
  }
  double slope = 1;
  if (sampling.padding == kBorder) {
    if (!(pixel > 0 && pixel < size - 1)) slope = 0;
    pixel = std::min(std::max(pixel, 0.0), size - 1.0);
  }
  pixel = std::min(std::max(pixel, -5.0), size + 5.0);
  const double cell = std::floor(pixel), fraction = pixel - cell;
  tap.kink = fraction < 1e-9 || fraction > 1 - 1e-9;
  for (int side = 0; side < 2; ++side) {
    const int64_t at = static_cast<int64_t>(cell) + side;
    const bool inside = at >= 0 && at < size;
    tap.index[side] = inside ? at : 0;
    tap.weight[side] = inside ? (side ? fraction : 1 - fraction) : 0;
    tap.slope[side] = inside ? (side ? slope : -slope) : 0;
  }
  return tap;
}

struct NaiveView {
  int64_t offset, height, width, c, h, w;
};

inline NaiveView view_of(const Images& images, int64_t b) {
  if (images.pool) {
    const int64_t* row = images.pool + 6 * b;
    return {row[0], row[1], row[2], row[3], row[4], row[5]};
  }
  return {b * images.stride_n, images.height,   images.width,
          images.stride_c,     images.stride_h, images.stride_w};
}

inline NaiveView view_of_gradient(const Images& images, const ImageGradient& to, int64_t b) {
  return {b * to.stride_n, images.height, images.width, to.stride_c, to.stride_h, to.stride_w};
}

// Calls visit(n, c, i, j, value, d_scale_x, d_scale_y, d_x, d_y, kink, view, rows, columns).
template <class Visit>
void naive_glimpses(const Problem& p, const Visit& visit) {
  const Job& job = p.job;
  const Regions& regions = job.regions;
  for (int64_t n = 0; n < regions.count; ++n) {
    double r[4] = {0, 0, 0, 0};
    for (int k = 0; k < regions.columns; ++k) {
      r[k] = p.region.get(n * regions.stride_n + k * regions.stride_k);
    }
    const bool three = regions.columns == 3;
    const double scale_x = r[0], scale_y = three ? r[0] : r[1];
    const double x = three ? r[1] : r[2], y = three ? r[2] : r[3];
    const bool finite =
        std::isfinite(scale_x) && std::isfinite(scale_y) && std::isfinite(x) && std::isfinite(y);
    const int64_t image = regions.image_index ? regions.image_index[n] : n;
    const NaiveView view = view_of(job.images, image);
    for (int64_t c = 0; c < job.images.channels; ++c) {
      const double scale = job.sampling.scale ? job.sampling.scale[c] : 1;
      const double bias = job.sampling.scale ? job.sampling.bias[c] : 0;
      for (int64_t i = 0; i < job.glimpses.height; ++i) {
        for (int64_t j = 0; j < job.glimpses.width; ++j) {
          NaiveTap row{}, column{};
          double value = NAN, along_x = NAN, along_y = NAN;
          if (finite) {
            row = naive_tap(i, job.glimpses.height, scale_y, y, view.height, job.sampling);
            column = naive_tap(j, job.glimpses.width, scale_x, x, view.width, job.sampling);
            value = along_x = along_y = 0;
            for (int a = 0; a < 2; ++a) {
              for (int b = 0; b < 2; ++b) {
                const int64_t at =
                    view.offset + c * view.c + row.index[a] * view.h + column.index[b] * view.w;
                const double pixel = p.image.get(at) * scale + bias;
                value += row.weight[a] * column.weight[b] * pixel;
                along_x += row.weight[a] * column.slope[b] * pixel;
                along_y += row.slope[a] * column.weight[b] * pixel;
              }
            }
          }
          visit(n, c, i, j, value, along_x, along_y, row, column, image);
        }
      }
    }
  }
}

}  // namespace mgnet_test
