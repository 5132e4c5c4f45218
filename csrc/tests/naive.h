// The definition of a glimpse and its derivatives, one output at a time, in double.
#pragma once

#include "tests/problem.h"

namespace mgnet_test {

// The weights of one sample along one axis, and their derivatives by the region's scale and by its
// x or y.
struct NaiveTap {
  std::vector<int64_t> index;
  std::vector<double> weight, by_scale, by_shift;
  double base;  // derivative of the sample's position by the scale
  double pixels_per_position;
  bool kink;  // so near to a pixel that the side of the derivative is a matter of rounding
};

inline bool near_whole(double value) { return std::fabs(value - std::round(value)) < 1e-9; }

inline double naive_step(int64_t count, double scale, int64_t size, const Sampling& sampling) {
  const double across = sampling.align_corners ? size - 1.0 : size;
  const double steps = sampling.align_corners ? std::max<double>(count - 1.0, 1.0) : count;
  return std::fabs(scale) * across / steps;
}

inline NaiveTap naive_tap(int64_t i, int64_t count, double scale, double shift, int64_t size,
                          const Sampling& sampling, bool filtered) {
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
  bool at_edge = false;
  if (sampling.clamp_to_region && !sampling.align_corners) {
    const double side = scale < 0 ? -1 : 1, half = std::fabs(scale) * size / 2;
    const double centre = (shift + 1) * size / 2 - 0.5;  // of the region, where pixel i is at i
    const double outermost = std::max(half - 0.5, 0.0);
    const double beyond = std::fabs(pixel - centre) - outermost;
    at_edge = std::fabs(beyond) < 1e-9;
    if (half <= 0.5) {
      pixel = centre;
      tap.base = 0;
    } else if (beyond > 0) {
      tap.base = pixel > centre ? side : -side;
      pixel = centre + (pixel > centre ? outermost : -outermost);
    }
  }
  double slope = 1;
  if (sampling.padding == kBorder) {
    if (!(pixel > 0 && pixel < size - 1)) slope = 0;
    pixel = std::min(std::max(pixel, 0.0), size - 1.0);
  }
  pixel = std::min(std::max(pixel, -5.0), size + 5.0);
  const double step = naive_step(count, scale, size, sampling);
  const double radius = filtered ? std::max(1.0, step) : 1.0;
  double radius_slope = 0;
  if (radius > 1) radius_slope = (scale < 0 ? -1 : 1) * naive_step(count, 1, size, sampling);
  tap.kink = at_edge || near_whole(pixel);
  if (radius > 1) {
    tap.kink = tap.kink || near_whole(pixel - radius) || near_whole(pixel + radius) ||
               std::fabs(step - 1) < 1e-9;
  }
  // A bilinear sample's weights outside the image are lost; a filter's are shared among the others.
  double share = 0, share_slope = 0, sum = 0, sum_by_p = 0, sum_by_radius = 0;
  std::vector<double> by_p, by_radius;
  const double reach = std::min(radius, 2.0 * static_cast<double>(size) + 20);
  for (int64_t k = static_cast<int64_t>(std::floor(pixel - reach)) - 1; k <= pixel + reach + 1;
       ++k) {
    const double d = static_cast<double>(k) - pixel, side = d <= 0 ? 1 : -1;
    const bool inside = k >= 0 && k < size;
    if (inside && d > -1 && d <= 1) {
      share += 1 - std::fabs(d);
      share_slope -= side;
    }
    if (!inside || !(d > -radius && d <= radius)) continue;
    tap.index.push_back(k);
    tap.weight.push_back(1 - std::fabs(d) / radius);
    by_p.push_back(-side / radius);
    by_radius.push_back(std::fabs(d) / (radius * radius));
    sum += tap.weight.back();
    sum_by_p += by_p.back();
    sum_by_radius += by_radius.back();
  }
  for (size_t k = 0; k < tap.index.size(); ++k) {
    const double u = tap.weight[k];
    double value = u, p_slope = by_p[k], r_slope = 0;
    if (radius > 1) {
      value = share > 0 ? share * u / sum : 0;
      p_slope =
          share > 0 ? share_slope * u / sum + share * (by_p[k] - u * sum_by_p / sum) / sum : 0;
      r_slope = share > 0 ? share * (by_radius[k] - u * sum_by_radius / sum) / sum : 0;
    }
    tap.weight[k] = value;
    tap.by_shift.push_back(p_slope * slope * tap.pixels_per_position);
    tap.by_scale.push_back(tap.by_shift.back() * tap.base + r_slope * radius_slope);
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

// Calls visit(n, c, i, j, value, derivatives by (scale_x, scale_y, x, y), row, column, image).
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
    const bool filtered = job.sampling.antialias && finite &&
                          (naive_step(job.glimpses.width, scale_x, view.width, job.sampling) > 1 ||
                           naive_step(job.glimpses.height, scale_y, view.height, job.sampling) > 1);
    for (int64_t c = 0; c < job.images.channels; ++c) {
      const double scale = job.sampling.scale ? job.sampling.scale[c] : 1;
      const double bias = job.sampling.scale ? job.sampling.bias[c] : 0;
      for (int64_t i = 0; i < job.glimpses.height; ++i) {
        for (int64_t j = 0; j < job.glimpses.width; ++j) {
          NaiveTap row{}, column{};
          double value = NAN, slopes[4] = {NAN, NAN, NAN, NAN};
          if (finite) {
            row =
                naive_tap(i, job.glimpses.height, scale_y, y, view.height, job.sampling, filtered);
            column =
                naive_tap(j, job.glimpses.width, scale_x, x, view.width, job.sampling, filtered);
            value = slopes[0] = slopes[1] = slopes[2] = slopes[3] = 0;
            for (size_t a = 0; a < row.index.size(); ++a) {
              for (size_t b = 0; b < column.index.size(); ++b) {
                const int64_t at =
                    view.offset + c * view.c + row.index[a] * view.h + column.index[b] * view.w;
                const double pixel = p.image.get(at) * scale + bias;
                value += row.weight[a] * column.weight[b] * pixel;
                slopes[0] += row.weight[a] * column.by_scale[b] * pixel;
                slopes[1] += row.by_scale[a] * column.weight[b] * pixel;
                slopes[2] += row.weight[a] * column.by_shift[b] * pixel;
                slopes[3] += row.by_shift[a] * column.weight[b] * pixel;
              }
            }
          }
          visit(n, c, i, j, value, slopes, row, column, image);
        }
      }
    }
  }
}

}  // namespace mgnet_test
