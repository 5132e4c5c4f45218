// Compares three operations with the naive definition on one problem.
#pragma once

#include <cstdio>
#include <functional>

#include "tests/naive.h"

namespace mgnet_test {

struct Operations {
  std::function<void(const Job&)> forward;
  std::function<void(const Job&, void*)> backward_region;
  std::function<void(const Job&, const ImageGradient&)> backward_image;
};

inline int failures = 0;

inline void check(bool ok, const char* what, const Problem& p, const std::string& isa,
                  uint64_t seed, double error) {
  if (ok) return;
  ++failures;
  std::printf("FAILED %s on %s, seed %llu, error %g: %s\n", what, isa.c_str(),
              static_cast<unsigned long long>(seed), error, p.text.c_str());
}

inline double rounding_of(int type) {
  return type == kFloat64 ? 1e-12 : type == kFloat32 ? 1e-6 : type == kFloat16 ? 6e-4 : 5e-3;
}

// Error relative to the tolerance, NaN treated as equal to NaN.
inline double excess(double got, double wanted, double tolerance) {
  if (std::isnan(wanted)) return std::isnan(got) ? 0 : 1e9;
  const double error = std::fabs(got - wanted) / tolerance;
  return std::isnan(error) ? 1e9 : error;
}

inline void test_problem(const Operations& operations, Problem& p, const std::string& isa,
                         uint64_t seed) {
  const Job& job = p.job;
  const bool all_double = job.images.type == kFloat64;
  const double image_size = job.images.type == kUInt8 ? 130 : 4;
  const double precision = all_double ? 1e-12 : 1e-6;
  operations.forward(job);
  Buffer region_gradient(job.regions.type, job.regions.count * job.regions.columns);
  operations.backward_region(p.gradient_job, region_gradient.data());
  const bool image_gradient = job.images.type != kUInt8 && !job.images.pool;
  if (image_gradient) operations.backward_image(p.gradient_job, p.gradient_of_image);

  const int columns = job.regions.columns;
  std::vector<double> regions(job.regions.count * columns, 0.0), sizes(regions);
  std::vector<bool> kinked(job.regions.count, false);
  std::vector<double> image(p.image_gradient.elements, 0.0);
  double worst = 0;
  naive_glimpses(p, [&](int64_t n, int64_t c, int64_t i, int64_t j, double value,
                        const double* slopes, const NaiveTap& row, const NaiveTap& column,
                        int64_t source) {
    const Glimpses& out = job.glimpses;
    const double got =
        p.glimpse.get(n * out.stride_n + c * out.stride_c + i * out.stride_h + j * out.stride_w);
    const double rounding = rounding_of(out.type);
    const double tolerance =
        2 * precision * image_size + rounding * std::max(std::fabs(value), 1e-4);
    worst = std::max(worst, excess(got, value, tolerance));
    const Glimpses& in = p.gradient_job.glimpses;
    const double g =
        p.gradient.get(n * in.stride_n + c * in.stride_c + i * in.stride_h + j * in.stride_w);
    for (int k = 0; k < 4; ++k) {
      const int to = columns == 4 ? k : k < 2 ? 0 : k - 1;
      regions[n * columns + to] += g * slopes[k];
      sizes[n * columns + to] += std::fabs(g) * image_size *
                                 (k % 2 ? row.pixels_per_position : column.pixels_per_position);
    }
    kinked[n] = kinked[n] || row.kink || column.kink;
    if (!image_gradient || std::isnan(value)) return;
    const double scale = job.sampling.scale ? job.sampling.scale[c] : 1;
    const ImageGradient& to = p.gradient_of_image;
    const NaiveView view = view_of_gradient(job.images, to, source);
    for (size_t a = 0; a < row.index.size(); ++a) {
      for (size_t b = 0; b < column.index.size(); ++b) {
        image[view.offset + c * view.c + row.index[a] * view.h + column.index[b] * view.w] +=
            g * scale * row.weight[a] * column.weight[b];
      }
    }
  });
  check(worst <= 1, "forward", p, isa, seed, worst);

  const double region_precision =
      (all_double ? 1e-12 : 1e-6) + (job.regions.type == kFloat64 ? 0 : 1e-6);
  worst = 0;
  for (int64_t n = 0; n < job.regions.count; ++n) {
    if (kinked[n]) continue;
    for (int k = 0; k < columns; ++k) {
      const double tolerance = region_precision * (sizes[n * columns + k] + 1e-3);
      worst = std::max(
          worst, excess(region_gradient.get(n * columns + k), regions[n * columns + k], tolerance));
    }
  }
  if (job.images.channels && job.glimpses.height && job.glimpses.width) {
    check(worst <= 1, "region gradient", p, isa, seed, worst);
  }

  if (!image_gradient) return;
  worst = 0;
  const ImageGradient& to = p.gradient_of_image;
  for (int64_t b = 0; b < job.images.count; ++b) {
    const NaiveView view = view_of_gradient(job.images, to, b);
    for (int64_t c = 0; c < job.images.channels; ++c) {
      for (int64_t y = 0; y < view.height; ++y) {
        for (int64_t x = 0; x < view.width; ++x) {
          const int64_t at = view.offset + c * view.c + y * view.h + x * view.w;
          const double tolerance = rounding_of(to.type) * (std::fabs(image[at]) + 0.1) +
                                   (to.type == kFloat64 ? 0 : 1e-5 * (std::fabs(image[at]) + 4));
          worst = std::max(worst, excess(p.image_gradient.get(at), image[at], tolerance));
        }
      }
    }
  }
  check(worst <= 1, "image gradient", p, isa, seed, worst);
}

}  // namespace mgnet_test
