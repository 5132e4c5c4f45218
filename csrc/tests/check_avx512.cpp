// The vector kernels where their loads are widest and nearest to the end: rows of two pixels and
// more, steps from a fraction of a pixel to many pixels an output, every buffer ending at (or,
// every other time, beginning at) a page that may not be touched. Each vector set against the
// portable kernels, which share none of its loads. Unlike a sanitizer, forbidden pages also watch
// code compiled the way it is shipped: check_avx512.sh runs this in a simulated processor.
// Usage: check_avx512 [--runs N] [--seed S]
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/options.h"
#include "tests/problem.h"

using namespace mgnet_test;

namespace {

// Memory of exactly `bytes` bytes beside a forbidden page.
class Guarded {
 public:
  Guarded(size_t bytes, bool at_end) : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    const size_t inner = (bytes + page_ - 1) / page_ * page_;
    mapped_ = inner + 2 * page_;
    void* memory = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    begin_ = static_cast<char*>(memory);
    if (inner && mprotect(begin_ + page_, inner, PROT_READ | PROT_WRITE)) throw std::bad_alloc();
    data_ = begin_ + page_ + (at_end ? inner - bytes : 0);
  }
  ~Guarded() { munmap(begin_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;
  char* data() const { return data_; }

 private:
  size_t page_, mapped_;
  char *begin_, *data_;
};

struct Answer {
  std::vector<double> glimpse, region;
};

struct Case {
  Job job{}, gradient_job{};
  Buffer image, gradient, region;
  std::vector<double> scale, bias;
  bool at_end = false;
};

void make_case(Random& random, Case& c) {
  Images& images = c.job.images;
  const int types[] = {kFloat32, kFloat32, kFloat32, kFloat16, kBFloat16, kUInt8};
  images.type = types[random.integer(0, 5)];
  const bool interleaved = random.chance(0.2);
  images.count = 1;
  images.channels = interleaved ? 3 : random.integer(1, 2);
  images.height = random.integer(1, 5);
  images.width = random.chance(0.5) ? random.integer(2, 70) : random.integer(64, 200);
  images.stride_c = interleaved ? 1 : images.height * images.width;
  images.stride_w = interleaved ? 3 : 1;
  images.stride_h = images.width * images.stride_w;
  c.image = Buffer(images.type, images.channels * images.height * images.width);
  for (int64_t i = 0; i < c.image.elements; ++i) c.image.set(i, random.real(-3, 3));
  images.stride_n = c.image.elements;

  c.region = Buffer(kFloat64, 4);
  for (int k = 0; k < 2; ++k) {
    const double scale = std::exp2(random.real(-6, 1.5));
    c.region.set(k, random.chance(0.3) ? -scale : scale);
    c.region.set(2 + k, random.real(-1.1, 1.1));
  }
  c.job.regions = {c.region.data(), kFloat64, 4, 4, 1, nullptr, 1};

  Glimpses& glimpses = c.job.glimpses;
  glimpses.type = random.chance(0.7) ? kFloat32 : kBFloat16;
  glimpses.height = random.integer(1, 4);
  glimpses.width = random.integer(8, 50);
  glimpses.stride_w = interleaved && random.chance(0.5) ? 3 : 1;
  glimpses.stride_h = glimpses.width * glimpses.stride_w;
  glimpses.stride_c = glimpses.stride_w == 3 ? 1 : glimpses.height * glimpses.width;
  glimpses.stride_n = images.channels * glimpses.height * glimpses.width;
  c.gradient = Buffer(glimpses.type, glimpses.stride_n);
  for (int64_t i = 0; i < c.gradient.elements; ++i) c.gradient.set(i, random.real(-2, 2));

  c.job.sampling.align_corners = random.chance(0.5);
  c.job.sampling.clamp_to_region = random.chance(0.3);
  c.job.sampling.padding = random.chance(0.5) ? kBorder : kZeros;
  if (random.chance(0.5)) {
    for (int64_t k = 0; k < images.channels; ++k) {
      c.scale.push_back(random.real(0.1, 1));
      c.bias.push_back(random.real(-1, 1));
    }
    c.job.sampling.scale = c.scale.data(), c.job.sampling.bias = c.bias.data();
  }
  c.at_end = random.chance(0.5);
}

Answer answer_of(Case& c) {
  const size_t image_bytes = c.image.elements * bytes_of(c.image.type);
  const size_t glimpse_bytes = c.gradient.elements * bytes_of(c.gradient.type);
  const Guarded image(image_bytes, c.at_end), gradient(glimpse_bytes, c.at_end),
      glimpse(glimpse_bytes, c.at_end);
  std::memcpy(image.data(), c.image.data(), image_bytes);
  std::memcpy(gradient.data(), c.gradient.data(), glimpse_bytes);
  std::memset(glimpse.data(), 0xff, glimpse_bytes);  // NaN, should an output be left out
  Job job = c.job;
  job.images.data = image.data();
  job.glimpses.data = glimpse.data();
  glimpse_forward(job, 1);
  Answer answer;
  Buffer out(c.gradient.type, c.gradient.elements);
  std::memcpy(out.data(), glimpse.data(), glimpse_bytes);
  for (int64_t i = 0; i < out.elements; ++i) answer.glimpse.push_back(out.get(i));
  answer.region.resize(4);
  job.glimpses.data = gradient.data();
  glimpse_backward_region(job, answer.region.data(), 1);
  return answer;
}

bool near(double got, double wanted, double tolerance) {
  return std::fabs(got - wanted) <= tolerance;  // false for NaN
}

bool agree(const Case& c, const Answer& got, const Answer& wanted) {
  const double pixel = c.job.images.type == kUInt8 ? 130 : 4;
  const double rounding = c.gradient.type == kFloat32 ? 1e-6 : 8e-3;
  double total = 0;
  for (size_t i = 0; i < got.glimpse.size(); ++i) {
    const double tolerance = 2e-6 * pixel + rounding * std::fabs(wanted.glimpse[i]);
    if (!near(got.glimpse[i], wanted.glimpse[i], tolerance)) return false;
    total += std::fabs(c.gradient.get(static_cast<int64_t>(i)));
  }
  for (int k = 0; k < 4; ++k) {
    const double size = double(k % 2 ? c.job.images.height : c.job.images.width) / 2;
    if (!near(got.region[k], wanted.region[k], 2e-6 * (total * pixel * size + 1e-3))) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv);
  int failures = 0;
  for (const std::string& isa : available_isas()) {
    if (isa == "portable") continue;
    for (int64_t run = 0; run < runs; ++run) {
      const uint64_t own = seed + static_cast<uint64_t>(run);
      Random random(own);
      Case c;
      make_case(random, c);
      select_isa(isa);
      const Answer got = answer_of(c);
      select_isa("portable");
      if (agree(c, got, answer_of(c))) continue;
      ++failures;
      std::printf("FAILED on %s, seed %llu\n", isa.c_str(), static_cast<unsigned long long>(own));
    }
    std::printf("%s at page borders: %lld cases, %d failures so far\n", isa.c_str(),
                static_cast<long long>(runs), failures);
  }
  return failures ? 1 : 0;
}
