// The options that all test programs have: --runs N and --seed S. Run k has seed S + k of its own,
// so that one that fails can be repeated alone with --runs 1.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace mgnet_test {

struct Options {
  int64_t runs = 2000;
  uint64_t seed = 1;
};

inline Options read_options(int argc, char** argv, Options options = {}) {
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--runs")) options.runs = std::atoll(argv[i + 1]);
    if (!std::strcmp(argv[i], "--seed")) options.seed = std::strtoull(argv[i + 1], nullptr, 10);
  }
  return options;
}

}  // namespace mgnet_test
