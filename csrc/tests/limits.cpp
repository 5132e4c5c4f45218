// How near the kernels are to what any way of computing a glimpse must do. A plain loop reads two
// pixels for each output, one of either row, and writes one number: no weights, no table, nothing
// to compute. Prints, for the shapes of the benchmarks, the time of the kernel and of that loop,
// taken in turn; where the images are strided through, the loop's time is that of the memory.
// Usage: limits [--isa NAME]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "dispatch.h"

using namespace mgnet;

namespace {

struct Shape {
  int64_t images, channels, height, width, size;
  bool whole;  // s = 1, else s in .2 to .5
};

const Shape kShapes[] = {
    {1, 3, 224, 224, 96, true},    {1, 3, 224, 224, 96, false},   {32, 3, 224, 224, 96, true},
    {32, 3, 224, 224, 96, false},  {256, 1, 112, 112, 28, true},  {256, 1, 112, 112, 28, false},
    {8, 3, 1024, 1024, 96, true},  {8, 3, 1024, 1024, 96, false}, {1, 3, 4000, 3000, 96, true},
    {1, 3, 4000, 3000, 96, false},
};

// The upper left tap of output (i, j) of a glimpse; the map is that of align_corners.
struct Taps {
  std::vector<int64_t> row, column;
};

int64_t first_tap(double scale, double shift, int64_t i, int64_t count, int64_t pixels) {
  const double base = count > 1 ? -1.0 + 2.0 * double(i) / double(count - 1) : 0.0;
  const double pixel = (base * scale + shift + 1.0) * 0.5 * double(pixels - 1);
  return std::clamp<int64_t>(int64_t(pixel), 0, pixels - 2);
}

void touch(const Shape& shape, const std::vector<float>& image, const std::vector<Taps>& taps,
           std::vector<float>& out) {
  float* to = out.data();
  for (int64_t n = 0; n < shape.images; ++n) {
    for (int64_t c = 0; c < shape.channels; ++c) {
      const float* plane = image.data() + (n * shape.channels + c) * shape.height * shape.width;
      for (const int64_t row : taps[n].row) {
        const float* upper = plane + row * shape.width;
        const float* lower = upper + shape.width;
        for (const int64_t column : taps[n].column) *to++ = upper[column] + lower[column + 1];
      }
    }
  }
}

double microseconds(const std::vector<double>& times) {
  std::vector<double> sorted(times);
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2] * 1e6;
}

void measure(const Shape& shape) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  const int64_t outputs = shape.size * shape.size;
  std::vector<float> image(shape.images * shape.channels * shape.height * shape.width);
  for (float& pixel : image) pixel = float(unit(random));
  std::vector<float> out(shape.images * shape.channels * outputs), region;
  std::vector<Taps> taps(shape.images);
  for (int64_t n = 0; n < shape.images; ++n) {
    const double scale = shape.whole ? 1.0 : 0.2 + 0.3 * unit(random);
    const double x = (2 * unit(random) - 1) * (1 - scale), y = (2 * unit(random) - 1) * (1 - scale);
    for (const double value : {scale, x, y}) region.push_back(float(value));
    for (int64_t i = 0; i < shape.size; ++i) {
      taps[n].row.push_back(first_tap(scale, y, i, shape.size, shape.height));
      taps[n].column.push_back(first_tap(scale, x, i, shape.size, shape.width));
    }
  }
  Job job{};
  job.images.data = image.data();
  job.images.type = kFloat32;
  job.images.count = shape.images, job.images.channels = shape.channels;
  job.images.height = shape.height, job.images.width = shape.width;
  job.images.stride_w = 1, job.images.stride_h = shape.width;
  job.images.stride_c = shape.height * shape.width;
  job.images.stride_n = shape.channels * job.images.stride_c;
  job.regions.data = region.data();
  job.regions.type = kFloat32, job.regions.columns = 3;
  job.regions.stride_n = 3, job.regions.stride_k = 1;
  job.regions.count = shape.images;
  job.glimpses.data = out.data();
  job.glimpses.type = kFloat32;
  job.glimpses.height = job.glimpses.width = shape.size;
  job.glimpses.stride_w = 1, job.glimpses.stride_h = shape.size;
  job.glimpses.stride_c = outputs, job.glimpses.stride_n = shape.channels * outputs;
  job.sampling.align_corners = true, job.sampling.padding = kZeros;

  std::vector<double> kernel, bare;
  auto time = [](std::vector<double>& times, const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  };
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(1500)) {
    time(kernel, [&] { glimpse_forward(job, 1); });
    time(bare, [&] { touch(shape, image, taps, out); });
  }
  const double ours = microseconds(kernel), least = microseconds(bare);
  std::printf("(%ld,%ld,%ld,%ld) -> %ld, s %-8s  kernel %8.1f us   bare %8.1f us   %.2f\n",
              long(shape.images), long(shape.channels), long(shape.height), long(shape.width),
              long(shape.size), shape.whole ? "= 1" : ".2 to .5", ours, least, ours / least);
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--isa")) select_isa(argv[i + 1]);
  }
  std::printf("instruction set: %s\n", selected_isa().c_str());
  for (const Shape& shape : kShapes) measure(shape);
  return 0;
}
