// How near the convolutions of glimpse-sized maps are to what they must do: read their weights from
// memory once, and multiply. Prints, for the layers of ResNet-18 and ResNet-50 at 96 pixels and
// every storage of weights, the time of the kernel, of a bare sum over the same cold weights and of
// as many multiply-adds with pixels of the map in registers, taken in turn in processor time.
// Usage: convolution_limits [--isa NAME] [--images N]
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "convolutions/convolution.h"
#include "dispatch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace mgnet;

namespace {

struct Layer {
  int64_t kernel, stride, channels, outputs, side;
};

const Layer kLayers[] = {
    {7, 2, 3, 64, 96},    {3, 1, 64, 64, 24},   {3, 2, 64, 128, 24},  {3, 1, 128, 128, 12},
    {3, 2, 128, 256, 12}, {3, 1, 256, 256, 6},  {3, 2, 256, 512, 6},  {3, 1, 512, 512, 3},
    {1, 1, 64, 64, 24},   {1, 1, 64, 256, 24},  {1, 1, 256, 64, 24},  {1, 1, 128, 512, 12},
    {1, 1, 512, 128, 12}, {1, 1, 256, 1024, 6}, {1, 1, 1024, 256, 6}, {1, 1, 512, 2048, 3},
    {1, 1, 2048, 512, 3},
};
constexpr size_t kColdBytes = 128 << 20;  // copies of the weights, more than the caches hold

double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float multiply(int64_t products) {
  __m256 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm256_set1_ps(float(i));
  const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (int64_t k = 0; k < products; k += 12 * 8) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = _mm256_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < 12; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return _mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f"))) float multiply_wide(int64_t products) {
  __m512 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm512_set1_ps(float(i));
  const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (int64_t k = 0; k < products; k += 12 * 16) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < 12; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}
#else
float multiply(int64_t) { return 0.0f; }
float multiply_wide(int64_t) { return 0.0f; }
#endif

int64_t read(const char* from, size_t bytes) {
  int64_t sums[8] = {};
  const auto* words = reinterpret_cast<const int64_t*>(from);
  for (size_t i = 0; i + 8 <= bytes / 8; i += 8) {
    for (int k = 0; k < 8; ++k) sums[k] += words[i + k];
  }
  return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

double quartile(std::vector<double>& times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 4] * 1e6;
}

int64_t seen(const Layer& layer, int64_t outputs) {
  int64_t count = 0;
  for (int64_t k = 0; k < layer.kernel; ++k) {
    for (int64_t y = 0; y < outputs; ++y) {
      const int64_t at = y * layer.stride - layer.kernel / 2 + k;
      count += at >= 0 && at < layer.side;
    }
  }
  return count;
}

void measure(const Layer& layer, int64_t images, int type, int winograd) {
  const int64_t padding = layer.kernel / 2;
  const int64_t side = (layer.side + 2 * padding - layer.kernel) / layer.stride + 1;
  const auto plan = plan_convolution({layer.channels, layer.outputs, layer.kernel, layer.kernel,
                                      layer.stride, layer.stride, padding, padding, layer.side,
                                      layer.side, type, true, winograd});
  const size_t element = type == kFloat32Weights ? 4 : type == kFloat16Weights ? 2 : 1;
  const int64_t positions =
      winograd ? (winograd + 2) * (winograd + 2) : layer.kernel * layer.kernel;
  const size_t bytes = size_t(positions * layer.channels * layer.outputs) * element;
  const size_t copies = std::clamp<size_t>(kColdBytes / bytes, 2, 64);
  const size_t page = 2 << 20, all = (bytes * copies + page - 1) / page * page;
  char* weights = static_cast<char*>(std::aligned_alloc(page, all));
#if defined(MADV_HUGEPAGE)
  madvise(weights, all, MADV_HUGEPAGE);
#endif
  std::memset(weights, 0x11, all);
  std::vector<float> scale(layer.outputs, 1.0f), bias(layer.outputs, 0.1f);
  std::vector<float> input(images * layer.side * layer.side * layer.channels, 0.5f);
  std::vector<float> output(images * side * side * layer.outputs);
  const int64_t rows = seen(layer, side);
  const int64_t products = images * rows * rows * layer.channels * layer.outputs;
  const bool wide = selected_isa() == "avx512";
  std::vector<double> own, reading, multiplying;
  volatile float sink = 0;
  size_t copy = 0;
  const auto next = [&] { return weights + bytes * (copy++ % copies); };
  const auto time = [](std::vector<double>& times, const auto& work) {
    const double start = now();
    work();
    times.push_back(now() - start);
  };
  for (const double start = now(); now() - start < 0.3 || own.size() < 8;) {
    const ConvolutionCall call = {input.data(), images,  next(),       scale.data(),
                                  bias.data(),  nullptr, output.data()};
    time(own, [&] { plan->run(call, 1); });
    const char* cold = next();
    time(reading, [&] { sink = sink + float(read(cold, bytes)); });
    time(multiplying, [&] { sink = sink + (wide ? multiply_wide : multiply)(products); });
  }
  const double kernel = quartile(own), read = quartile(reading), multiply = quartile(multiplying);
  std::printf(
      "%ldx%ld /%ld %4ld -> %4ld of %2ldx%-2ld %s  %s  kernel %8.1f us  read %7.1f  "
      "multiply %8.1f  share %.2f\n",
      long(layer.kernel), long(layer.kernel), long(layer.stride), long(layer.channels),
      long(layer.outputs), long(layer.side), long(layer.side),
      type == 0   ? "fp32"
      : type == 1 ? "fp16"
                  : "int8",
      winograd == 0   ? "sums "
      : winograd == 2 ? "2 x 2"
                      : "4 x 4",
      kernel, read, multiply, std::max(read, multiply) / kernel);
  std::free(weights);
}

}  // namespace

int main(int argc, char** argv) {
  int64_t images = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--isa")) select_isa(argv[i + 1]);
    if (!std::strcmp(argv[i], "--images")) images = std::atoll(argv[i + 1]);
  }
  std::printf("instruction set: %s, images: %ld\n", selected_isa().c_str(), long(images));
  for (const Layer& layer : kLayers) {
    for (int type = kFloat32Weights; type <= kInt8Weights; ++type) measure(layer, images, type, 0);
    if (layer.kernel != 3 || layer.stride != 1) continue;
    measure(layer, images, kFloat32Weights, 2);
    measure(layer, images, kFloat16Weights, 2);
    measure(layer, images, kFloat32Weights, 4);
  }
  return 0;
}
