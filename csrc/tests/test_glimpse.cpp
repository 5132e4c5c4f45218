// Every instruction set against the naive definition. Usage: test_glimpse [--runs N] [--seed S]
#include <cstdlib>

#include "tests/compare.h"
#include "tests/options.h"

using namespace mgnet_test;

int main(int argc, char** argv) {
  const auto [runs, seed] = mgnet_test::read_options(argc, argv);
  const Operations operations{
      [](const Job& job) { glimpse_forward(job, 1); },
      [](const Job& job, void* gradient) { glimpse_backward_region(job, gradient, 1); },
      [](const Job& job, const ImageGradient& to) { glimpse_backward_image(job, to, 1); }};
  for (const std::string& isa : available_isas()) {
    select_isa(isa);
    for (int64_t run = 0; run < runs; ++run) {
      const uint64_t own = seed + static_cast<uint64_t>(run);
      Random random(own);
      Problem p;
      make_problem(random, false, p);
      test_problem(operations, p, isa, own);
    }
    std::printf("%s: %lld problems, %d failures so far\n", isa.c_str(),
                static_cast<long long>(runs), failures);
  }
  return failures ? 1 : 0;
}
