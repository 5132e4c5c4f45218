#include "dispatch.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <stdexcept>

#if defined(MGNET_HAS_AVX512)
#include <cpuid.h>
#endif

#include "cpu/kernels.h"
#include "one_job_each.h"
#include "parallel.h"
#include "region.h"
#include "squash.h"

namespace mgnet {
namespace {

std::vector<const Kernels*> usable_kernels() {
  std::vector<const Kernels*> usable;
#if defined(MGNET_EMULATED)
  usable.push_back(&avx512::kernels);
#elif defined(MGNET_HAS_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    usable.push_back(&avx512::kernels);
  }
#endif
#if defined(MGNET_HAS_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi2")) {
    usable.push_back(&avx2::kernels);
  }
#endif
  usable.push_back(&portable::kernels);
  return usable;
}

const std::vector<const Kernels*>& usable() {
  static const std::vector<const Kernels*> list = usable_kernels();
  return list;
}

std::atomic<const Kernels*> chosen{nullptr};

#if defined(MGNET_HAS_AVX512) && defined(MGNET_HAS_AVX2)
bool is_amd_of_family_25() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__builtin_cpu_is("amd") || !__get_cpuid(1, &a, &b, &c, &d)) return false;
  return (a >> 8 & 15) + (a >> 20 & 255) == 25;
}

const Kernels* kernels_of_halves() {
  const auto can = [](const Kernels& set) {
    return std::find(usable().begin(), usable().end(), &set) != usable().end();
  };
  const bool is_zen4 = can(avx512::kernels) && is_amd_of_family_25();
  return is_zen4 && can(avx2::kernels) ? &avx2::kernels : nullptr;
}
#else
const Kernels* kernels_of_halves() { return nullptr; }
#endif

// The text is built only when needed: it would slow down a call of one small glimpse.
void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

void require(bool condition, const char* message, int64_t got) {
  if (!condition) throw std::invalid_argument(message + (", got " + std::to_string(got)));
}

bool is_float_type(int type) { return type >= kFloat32 && type <= kBFloat16; }

double read_element(const void* data, int type, int64_t at) {
  switch (type) {
    case kFloat32:
      return static_cast<const float*>(data)[at];
    case kFloat64:
      return static_cast<const double*>(data)[at];
    default:
      throw std::invalid_argument("dtype must be float32 or float64, got " + std::to_string(type));
  }
}

void write_element(void* data, int type, int64_t at, double value) {
  if (type == kFloat64) {
    static_cast<double*>(data)[at] = value;
  } else {
    static_cast<float*>(data)[at] = static_cast<float>(value);
  }
}

// A filter reads every pixel under its glimpse.
double filter_microseconds(const Job& one) {
  const portable::Region region = portable::read_region(one.regions, 0);
  if (!one.sampling.antialias || !region.finite) return 0;
  const double wide = std::min(1.0, std::fabs(region.scale_x)) * double(one.images.width);
  const double high = std::min(1.0, std::fabs(region.scale_y)) * double(one.images.height);
  return wide * high * double(one.images.channels) * 0.2e-3;
}

// A job cut into what one call of a kernel computes: ranges of units, or of single glimpses.
class Parts {
 public:
  explicit Parts(const Job& job) : job_(job), microseconds_(estimated_microseconds(job)) {
    if (needs_one_job_each(job)) {
      glimpses_ = one_job_each(job);
      for (const Job& one : glimpses_) {
        units_per_glimpse = std::max(units_per_glimpse, set.units_per_glimpse(one));
        scratch_bytes_ = std::max(scratch_bytes_, set.scratch_bytes(one));
        microseconds_ += filter_microseconds(one);
      }
    } else {
      units_per_glimpse = set.units_per_glimpse(job);
      scratch_bytes_ = set.scratch_bytes(job);
    }
  }

  // Calls body(job, first, last, position of the first, scratch) for ranges of units; `work` is how
  // much there is to do, where a forward pass is 1.
  template <class Body>
  void run(double work, int threads, const Body& body) const {
    const int64_t units = job_.regions.count * units_per_glimpse;
    threads = useful_threads(work * microseconds_, units, threads);
    if (needs_one_job_each(job_)) {
      for_units(units, threads, scratch_bytes_, [&](int64_t begin, int64_t end, void* scratch) {
        for (int64_t at = begin; at < end;) {
          const int64_t n = at / units_per_glimpse, first = at % units_per_glimpse;
          const Job& one = glimpses_[n];
          const int64_t own = set.units_per_glimpse(one);
          const int64_t last = std::min(own, first + end - at);
          if (first < last) body(one, first, last, at, scratch);
          at = std::min(end, (n + 1) * units_per_glimpse);
        }
      });
    } else {
      for_units(units, threads, scratch_bytes_, [&](int64_t first, int64_t last, void* scratch) {
        body(job_, first, last, first, scratch);
      });
    }
  }

  const Kernels& set = selected_kernels();
  int64_t units_per_glimpse = 0;  // of single glimpses the most that one of them has

 private:
  const Job& job_;
  double microseconds_;
  std::vector<Job> glimpses_;
  size_t scratch_bytes_ = 0;
};

// Sums of the gradient of each region, double[count][kRegionSums].
std::vector<double> region_sums(const Job& job, int threads) {
  const Parts parts(job);
  const int64_t per_glimpse = parts.units_per_glimpse, count = job.regions.count;
  std::vector<double> sums(static_cast<size_t>(count * per_glimpse) * kRegionSums);
  if (!sums.empty()) {
    parts.run(2, threads,
              [&](const Job& part, int64_t first, int64_t last, int64_t at, void* scratch) {
                // Kernels write the sums of unit u at u.
                double* of_unit_0 = sums.data() + (at - first) * kRegionSums;
                parts.set.backward_region(part, first, last, of_unit_0, scratch);
              });
  }
  std::vector<double> totals(static_cast<size_t>(count) * kRegionSums, 0.0);
  for (int64_t n = 0; n < count; ++n) {
    for (int64_t part = 0; part < per_glimpse; ++part) {
      for (int i = 0; i < kRegionSums; ++i) {
        totals[n * kRegionSums + i] += sums[(n * per_glimpse + part) * kRegionSums + i];
      }
    }
  }
  return totals;
}

Squashed region_from_logits(const Logits& logits, int64_t n) {
  double values[3];
  for (int k = 0; k < 3; ++k) {
    values[k] = read_element(logits.data, logits.type, n * logits.stride_n + k * logits.stride_k);
  }
  return squashed(values, logits.scale_min, logits.scale_max);
}

void check_logits(const Job& job, const Logits& logits) {
  require(logits.type == kFloat32 || logits.type == kFloat64,
          "logits dtype must be float32 or float64", logits.type);
  require(job.regions.columns == 3, "region must have 3 columns", job.regions.columns);
}

}  // namespace

const Kernels& selected_kernels() {
  const Kernels* choice = chosen.load(std::memory_order_relaxed);
  return choice ? *choice : *usable().front();
}

const Kernels& convolution_kernels() {
  static const Kernels* const halves = kernels_of_halves();
  return halves && !chosen.load(std::memory_order_relaxed) ? *halves : selected_kernels();
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Kernels* k : usable()) names.push_back(k->name);
  return names;
}

std::string selected_isa() { return selected_kernels().name; }

void select_isa(const std::string& name) {
  for (const Kernels* k : usable()) {
    if (name == k->name) {
      chosen.store(k, std::memory_order_relaxed);
      return;
    }
  }
  std::string list;
  for (const std::string& isa : available_isas()) list += (list.empty() ? "" : ", ") + isa;
  throw std::invalid_argument("isa must be one of " + list + ", got " + name);
}

double estimated_microseconds(const Job& job) {
  const double outputs = double(job.regions.count) * double(job.images.channels) *
                         double(job.glimpses.height) * double(job.glimpses.width);
  return outputs * (job.images.type == kFloat32 ? 0.3e-3 : 1e-3);
}

void check_layout(const Job& job, bool pooled) {
  const Images& images = job.images;
  const Regions& regions = job.regions;
  const Glimpses& glimpses = job.glimpses;
  require(images.type >= kFloat32 && images.type <= kUInt8, "image dtype code must be 0 to 4",
          images.type);
  require(is_float_type(glimpses.type), "glimpse dtype code must be 0 to 3", glimpses.type);
  require(regions.type == kFloat32 || regions.type == kFloat64,
          "region dtype must be float32 or float64", regions.type);
  require(regions.columns == 3 || regions.columns == 4, "region must have 3 or 4 columns",
          regions.columns);
  require(regions.count >= 0 && images.count >= 0 && images.channels >= 0,
          "sizes must not be negative");
  require(glimpses.height >= 0 && glimpses.width >= 0, "size must not be negative");
  require(job.sampling.padding == kZeros || job.sampling.padding == kBorder,
          "padding_mode code must be 0 (zeros) or 1 (border)", job.sampling.padding);
  require(!(job.sampling.antialias && job.sampling.clamp_to_region),
          "antialias and clamp_to_region must not both be 1");
  if (regions.count == 0 || pooled) return;  // the entries of a pool are checked as they are read
  if (images.height < 1 || images.width < 1 || images.height >= INT32_MAX ||
      images.width >= INT32_MAX) {
    throw std::invalid_argument("image must have at least one pixel, got height " +
                                std::to_string(images.height) + " and width " +
                                std::to_string(images.width));
  }
}

void check_job_without_index(const Job& job) {
  check_layout(job, job.images.pool != nullptr);
  const int64_t images = job.images.count, regions = job.regions.count;
  require((job.sampling.scale == nullptr) == (job.sampling.bias == nullptr),
          "scale and bias must be given together");
  // The pointer of an empty tensor is null, too.
  if (!job.regions.image_index && regions != 0 && regions != images) {
    throw std::invalid_argument(
        "without image_index there must be one region per image: " + std::to_string(images) +
        " images, " + std::to_string(regions) + " regions");
  }
}

void check_job(const Job& job) {
  check_job_without_index(job);
  const Regions& regions = job.regions;
  if (!regions.image_index) return;
  for (int64_t n = 0; n < regions.count; ++n) {
    const int64_t index = regions.image_index[n];
    if (index < 0 || index >= job.images.count) {
      throw std::invalid_argument("image_index must be in [0, " + std::to_string(job.images.count) +
                                  "), got " + std::to_string(index) + " at position " +
                                  std::to_string(n));
    }
  }
}

void glimpse_forward(const Job& job, int threads) {
  check_job(job);
  const Parts parts(job);
  if (job.regions.count * parts.units_per_glimpse == 0) return;
  if (job.glimpses.height == 0 || job.glimpses.width == 0) return;
  parts.run(1, threads, [&](const Job& part, int64_t first, int64_t last, int64_t, void* scratch) {
    parts.set.forward(part, first, last, scratch);
  });
}

void glimpse_backward_region(const Job& job, void* region_gradient, int threads) {
  check_job(job);
  const std::vector<double> totals = region_sums(job, threads);
  const int columns = job.regions.columns;
  for (int64_t n = 0; n < job.regions.count; ++n) {
    const double* sums = totals.data() + n * kRegionSums;
    if (columns == 3) {
      write_element(region_gradient, job.regions.type, n * 3, sums[0] + sums[1]);
      write_element(region_gradient, job.regions.type, n * 3 + 1, sums[2]);
      write_element(region_gradient, job.regions.type, n * 3 + 2, sums[3]);
    } else {
      for (int i = 0; i < 4; ++i) {
        write_element(region_gradient, job.regions.type, n * 4 + i, sums[i]);
      }
    }
  }
}

void glimpse_backward_image(const Job& job, ImageGradient gradient, int threads) {
  check_job(job);
  require(!job.images.pool, "the pixels of a pool get no gradient");
  check_filtered_row(job);
  require(is_float_type(gradient.type), "image gradient dtype code must be 0 to 3", gradient.type);
  const int64_t images = job.images.count, count = job.regions.count;
  std::vector<int64_t> first(static_cast<size_t>(images) + 1, 0), order(count), next;
  for (int64_t n = 0; n < count; ++n) {
    ++first[(job.regions.image_index ? job.regions.image_index[n] : n) + 1];
  }
  for (int64_t b = 0; b < images; ++b) first[b + 1] += first[b];
  next.assign(first.begin(), first.end());
  for (int64_t n = 0; n < count; ++n) {
    order[next[job.regions.image_index ? job.regions.image_index[n] : n]++] = n;
  }
  gradient.first_of_image = first.data();
  gradient.glimpse_order = order.data();
  const Kernels& k = selected_kernels();
  const int64_t units = images * job.images.channels;
  if (units == 0) return;
  const double pixels = double(units) * double(job.images.height) * double(job.images.width);
  threads = useful_threads(4 * estimated_microseconds(job) + pixels * 0.2e-3, units, threads);
  for_units(units, threads, k.image_scratch_bytes(job, gradient),
            [&](int64_t begin, int64_t end, void* scratch) {
              k.backward_image(job, gradient, begin, end, scratch);
            });
}

void glimpse_from_logits_forward(const Job& job, const Logits& logits, int threads) {
  check_job(job);
  check_logits(job, logits);
  void* region = const_cast<void*>(job.regions.data);
  for (int64_t n = 0; n < job.regions.count; ++n) {
    const Squashed squashed = region_from_logits(logits, n);
    const int64_t at = n * job.regions.stride_n, step = job.regions.stride_k;
    write_element(region, job.regions.type, at, squashed.scale);
    write_element(region, job.regions.type, at + step, squashed.x);
    write_element(region, job.regions.type, at + 2 * step, squashed.y);
  }
  glimpse_forward(job, threads);
}

void glimpse_from_logits_backward(const Job& job, const Logits& logits,
                                  const LogitsGradient& gradient, int threads) {
  check_job(job);
  check_logits(job, logits);
  std::vector<double> totals(static_cast<size_t>(job.regions.count) * kRegionSums, 0.0);
  if (gradient.glimpse_gradient) totals = region_sums(job, threads);
  for (int64_t n = 0; n < job.regions.count; ++n) {
    const double* sums = totals.data() + n * kRegionSums;
    double d_scale = sums[0] + sums[1], d_x = sums[2], d_y = sums[3];
    if (gradient.region_gradient) {
      const int64_t at = n * gradient.stride_n;
      const void* incoming = gradient.region_gradient;
      d_scale += read_element(incoming, job.regions.type, at);
      d_x += read_element(incoming, job.regions.type, at + gradient.stride_k);
      d_y += read_element(incoming, job.regions.type, at + 2 * gradient.stride_k);
    }
    const Squashed forward = region_from_logits(logits, n);
    // x and y shrink as the scale grows.
    d_scale -= d_x * (2.0 * forward.p[1] - 1.0) + d_y * (2.0 * forward.p[2] - 1.0);
    const double d_p[3] = {d_scale * (logits.scale_max - logits.scale_min),
                           2.0 * d_x * (1.0 - forward.scale), 2.0 * d_y * (1.0 - forward.scale)};
    for (int k = 0; k < 3; ++k) {
      const double p = forward.p[k];
      write_element(gradient.gradient, logits.type, n * 3 + k,
                    d_p[k] * gradient.gradient_scale * p * (1.0 - p));
    }
  }
}

}  // namespace mgnet
