// Random problems of every shape, stride, type and region, most of them odd, on every instruction
// set. Build with MGNET_FAST_SANITIZE=ON: what it looks for is an access outside the buffers or
// undefined behaviour. Usage: fuzz [--runs N] [--seed S]
#include <cstdio>
#include <cstdlib>

#include "tests/options.h"
#include "tests/problem.h"

using namespace mgnet_test;

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv, {1000, std::random_device{}()});
  std::printf("seed %llu, %lld runs, instruction sets:", static_cast<unsigned long long>(seed),
              static_cast<long long>(runs));
  const std::vector<std::string> isas = available_isas();
  for (const std::string& isa : isas) std::printf(" %s", isa.c_str());
  std::printf("\n");
  std::fflush(stdout);
  for (int64_t run = 0; run < runs; ++run) {
    // Each run has a seed of its own: one run can be repeated alone with --runs 1.
    Random random(seed + static_cast<uint64_t>(run));
    Problem p;
    make_problem(random, random.chance(0.5), p);
    select_isa(isas[random.integer(0, static_cast<int64_t>(isas.size()) - 1)]);
    const int threads = random.chance(0.02) ? 3 : 1;
    glimpse_forward(p.job, threads);
    Buffer region_gradient(p.job.regions.type, p.job.regions.count * p.job.regions.columns);
    glimpse_backward_region(p.gradient_job, region_gradient.data(), threads);
    if (!p.job.images.pool) {
      glimpse_backward_image(p.gradient_job, p.gradient_of_image, threads);
    }
    if (p.job.regions.columns == 3 && p.job.regions.count > 0) {
      const int64_t count = p.job.regions.count;
      Buffer logits(random.chance(0.5) ? kFloat32 : kFloat64, count * 3);
      for (int64_t i = 0; i < count * 3; ++i) {
        logits.set(i, random_coordinate(random, 6, random.chance(0.1)));
      }
      const Logits from{logits.data(), logits.type, 3, 1, 0.2, 0.5};
      glimpse_from_logits_forward(p.job, from, threads);
      Buffer gradient(logits.type, count * 3);
      const LogitsGradient wanted{random.chance(0.5) ? region_gradient.data() : nullptr,
                                  3,
                                  1,
                                  random.chance(0.8),
                                  0.02,
                                  gradient.data()};
      glimpse_from_logits_backward(p.gradient_job, from, wanted, threads);
    }
  }
  std::printf("no report\n");
  return 0;
}
