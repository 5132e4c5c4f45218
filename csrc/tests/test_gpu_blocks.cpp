// The kernels of a GPU, run in plain C++, against the naive definition and, for logits, against the
// CPU kernels. Usage: test_gpu_blocks [--runs N] [--seed S]
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "tests/compare.h"
#include "tests/gpu_host.h"
#include "tests/options.h"

using namespace mgnet_test;

namespace {

const char* const kName = "gpu blocks";

double worst_excess(const Buffer& got, const Buffer& wanted, double tolerance) {
  double worst = 0;
  for (int64_t i = 0; i < got.elements; ++i) {
    worst = std::max(worst,
                     excess(got.get(i), wanted.get(i), tolerance * (1 + std::fabs(wanted.get(i)))));
  }
  return worst;
}

// Forward and backward from logits, held against the CPU's.
void test_logits(Random& random, Problem& p, uint64_t seed) {
  const int64_t count = p.job.regions.count;
  Buffer values(p.job.regions.type, count * 3), incoming(values.type, count * 3);
  for (int64_t i = 0; i < values.elements; ++i) {
    values.set(i, random.real(-4, 4));
    incoming.set(i, random.real(-1, 1));
  }
  Buffer region(values.type, count * 3), gradient(values.type, count * 3);
  Buffer cpu_region(values.type, count * 3), cpu_gradient(values.type, count * 3);
  Job job = p.job, cpu_job = p.gradient_job;
  job.regions.columns = cpu_job.regions.columns = 3;
  job.regions.stride_n = cpu_job.regions.stride_n = 3;
  job.regions.stride_k = cpu_job.regions.stride_k = 1;
  Buffer cpu_glimpse(p.glimpse.type, p.glimpse.elements);
  job.regions.data = region.data();
  const Logits logits{values.data(), values.type, 3, 1, 0.2, 0.5};
  const GpuLogits same{values.data(), values.type, 3, 1, 0.2, 0.5};
  run_forward(job, same);
  Job cpu_forward = job;
  cpu_forward.regions.data = cpu_region.data();
  cpu_forward.glimpses.data = cpu_glimpse.data();
  glimpse_from_logits_forward(cpu_forward, logits, 1);
  if (job.glimpses.height == 0 || job.glimpses.width == 0) return;  // nothing was launched
  check(worst_excess(region, cpu_region, 1e-7) <= 1, "region from logits", p, kName, seed, 0);

  cpu_job.regions.data = cpu_region.data();
  const LogitsGradient cpu_call{incoming.data(), 3, 1, true, 0.02, cpu_gradient.data()};
  glimpse_from_logits_backward(cpu_job, logits, cpu_call, 1);
  run_region_gradient(cpu_job, [&](GpuRegionGradient& call) {
    call.logits = same;
    call.incoming = incoming.data();
    call.incoming_type = incoming.type;
    call.incoming_stride_n = 3;
    call.incoming_stride_k = 1;
    call.gradient_scale = 0.02;
    call.type = values.type;
    call.gradient = gradient.data();
  });
  const double terms =
      static_cast<double>(job.images.channels * job.glimpses.height * job.glimpses.width);
  const double size = job.images.type == kUInt8 ? 130 : 4;
  check(worst_excess(gradient, cpu_gradient, 1e-6 + 2e-7 * size * terms) <= 1, "logits gradient", p,
        kName, seed, 0);
}

// Glimpses that need no filter have the bits of a call that asks for none.
void test_narrow(Problem& p, uint64_t seed) {
  Job plain = p.job;
  plain.sampling.antialias = false;
  Buffer samples(p.glimpse.type, p.glimpse.elements);
  plain.glimpses.data = samples.data();
  run_forward(p.job, GpuLogits{});
  run_forward(plain, GpuLogits{});
  const size_t row = bytes_of(samples.type);
  const Glimpses& out = p.job.glimpses;
  bool same = true;
  for (int64_t n = 0; n < p.job.regions.count; ++n) {
    if (gpu::needs_filter(p.job, gpu::read_region(p.job.regions, n))) continue;
    for (int64_t c = 0; c < p.job.images.channels; ++c) {
      for (int64_t i = 0; i < out.height * out.width; ++i) {
        const int64_t at = n * out.stride_n + c * out.stride_c + i / out.width * out.stride_h +
                           i % out.width * out.stride_w;
        same = same &&
               !std::memcmp(samples.bytes.get() + at * row, p.glimpse.bytes.get() + at * row, row);
      }
    }
  }
  check(same, "bits without the filter", p, kName, seed, 0);
}

// Indices of no image give NaN, and no image gets a gradient from them; nothing is read outside.
void test_wrong_index(Random& random, Problem& p, uint64_t seed) {
  if (p.index.empty()) return;
  const int64_t wrong[] = {-1, p.job.images.count, INT64_MIN, INT64_MAX};
  for (int64_t& index : p.index) index = wrong[random.integer(0, 3)];
  run_forward(p.job, GpuLogits{});
  const Glimpses& out = p.job.glimpses;
  bool all_nan = true;
  for (int64_t n = 0; n < p.job.regions.count; ++n) {
    for (int64_t c = 0; c < p.job.images.channels; ++c) {
      for (int64_t i = 0; i < out.height; ++i) {
        for (int64_t j = 0; j < out.width; ++j) {
          all_nan = all_nan && std::isnan(p.glimpse.get(n * out.stride_n + c * out.stride_c +
                                                        i * out.stride_h + j * out.stride_w));
        }
      }
    }
  }
  check(all_nan, "index of no image", p, kName, seed, 0);
  Buffer gradient(p.job.regions.type, p.job.regions.count * p.job.regions.columns);
  run_region_gradient(p.gradient_job,
                      [&](GpuRegionGradient& call) { call.gradient = gradient.data(); });
  if (p.job.images.type != kUInt8) run_image_gradient(p.gradient_job, p.gradient_of_image);
}

// The last pixels of an image of 2.5e9: offsets need more than 32 bits. Only they are touched.
void test_far_pixels() {
  const int64_t side = 50000;
  void* memory = mmap(nullptr, static_cast<size_t>(side * side), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    std::printf("%s: no address space for an image of 2.5e9 pixels\n", kName);
    return;
  }
  unsigned char* pixels = static_cast<unsigned char*>(memory);
  for (int64_t row = side - 12; row < side; ++row)
    std::memset(pixels + (row + 1) * side - 12, 255, 12);
  const double scale = 1 / 255.0, bias = 0;
  float samples[9];
  Job job{};
  job.images = {pixels, kUInt8, 1, 1, side, side, side * side, side * side, side, 1, nullptr, 0};
  float region[3] = {0, 1, 1};
  job.regions = {region, kFloat32, 3, 3, 1, nullptr, 1};
  job.glimpses = {samples, kFloat32, 3, 3, 9, 9, 3, 1};
  job.sampling = {&scale, &bias, true, kBorder, false, false};
  for (const bool antialias : {false, true}) {  // samples half a pixel and five pixels apart
    region[0] = antialias ? 2e-4f : 2e-5f;
    job.sampling.antialias = antialias;
    run_forward(job, GpuLogits{});
    for (float sample : samples) {
      if (std::fabs(sample - 1) <= 1e-6f) continue;
      std::printf("%s: a far pixel gives %g\n", kName, static_cast<double>(sample));
      ++failures;
    }
  }
  munmap(memory, static_cast<size_t>(side * side));
}

}  // namespace

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv);
  const Operations operations{
      [](const Job& job) { run_forward(job, GpuLogits{}); },
      [](const Job& job, void* gradient) {
        run_region_gradient(job, [&](GpuRegionGradient& call) { call.gradient = gradient; });
      },
      [](const Job& job, const ImageGradient& to) { run_image_gradient(job, to); }};
  test_far_pixels();
  int64_t tested = 0;
  for (int64_t run = 0; run < runs; ++run) {
    const uint64_t own = seed + static_cast<uint64_t>(run);
    Random random(own);
    Problem p;
    make_problem(random, false, p);
    if (p.job.images.pool) continue;  // these kernels take none
    ++tested;
    test_problem(operations, p, kName, own);
    if (p.job.sampling.antialias) test_narrow(p, own);
    test_logits(random, p, own);
    test_wrong_index(random, p, own);
    // Odd regions and pixels: what they give is compared, too, by the CPU's tests; here they are
    // run so that a sanitizer sees where they read and write.
    Problem wild;
    make_problem(random, true, wild);
    if (wild.job.images.pool) continue;
    operations.forward(wild.job);
    Buffer gradient(wild.job.regions.type, wild.job.regions.count * wild.job.regions.columns);
    operations.backward_region(wild.gradient_job, gradient.data());
    if (wild.job.images.type != kUInt8) {
      operations.backward_image(wild.gradient_job, wild.gradient_of_image);
    }
  }
  std::printf("%s: %lld problems, %d failures\n", kName, static_cast<long long>(tested), failures);
  return failures ? 1 : 0;
}
